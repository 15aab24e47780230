"""A checkpoint as a service: pictures over HTTP in, labels out."""

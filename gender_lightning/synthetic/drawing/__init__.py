"""Synthetic faces: traits of a person and a picture, and the painter that draws them."""

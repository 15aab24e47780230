"""A local web page that shows the predictions of a checkpoint and where the network looks."""

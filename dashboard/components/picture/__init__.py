"""The inspection picture: a frame with what is wrong with it, in detail and small, and its nearest good parts."""

"""The demo's pool of images and the script that builds it."""

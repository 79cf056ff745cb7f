"""From seeds to images. The injection test and the likelihood of a picture are here too."""

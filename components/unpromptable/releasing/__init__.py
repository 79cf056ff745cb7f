"""A request to forget, and what comes of it: attempts, gates, a folder that says how it was judged, and the
series that it is of.
"""

"""The gesture suite: talks, and the table of what is made for them."""

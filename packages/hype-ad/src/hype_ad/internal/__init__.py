"""What Hype's packages share: checks of arguments, arithmetic on pytrees, tables of text.

Private to the four packages and versioned with them: it may change in any release, so import nothing from here.
"""

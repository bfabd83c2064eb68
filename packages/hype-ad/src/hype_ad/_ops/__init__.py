"""Operations on `D`, `DV`, `DM` and arrays, one file for each family; `hype_ad/__init__.py` lists them."""

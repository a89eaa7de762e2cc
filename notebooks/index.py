# ---
# jupyter:
#   kernelspec:
#     display_name: Python 3 (ipykernel)
#     language: python
#     name: python3
# ---

# %% [markdown]
# # The courses
#
# Each row below is a notebook; its name opens it. Run one from top to bottom (*Run*, *Run All
# Cells*), or cell by cell with Shift-Enter. A hand calculation wants your answer in a grid, and
# says what is wrong and often why. An experiment has its settings in its first code cell, to be
# changed as you like: what was trained once is kept, and shown at once the next time.

# %%
from labkit.lab.start_page import start_page

start_page()

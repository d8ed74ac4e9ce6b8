"""A lookup memory of recurring patterns beside a trunk: does it help, and why?"""

"""`arke bench`: how fast this machine is with Arke on it, as ratios measured in one run.

A machine's clock wanders and neighbours come and go, so a figure says little and a ratio to something that
ran a moment earlier on the same machine says much. Each bench interleaves its contenders and takes medians.
"""

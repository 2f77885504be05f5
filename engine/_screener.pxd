# The engine as Python calls it.

from engine._fastpath cimport FastPath

cdef class Screener(FastPath):
    cdef object trunk_indices        # dict: name -> index
    cdef list plans                  # DialPlan of each trunk

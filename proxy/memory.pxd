# Memory of the call path: large arrays made once, and recycled blocks for the messages of open transactions.

from libc.stdint cimport uint8_t, uint32_t, uint64_t

cdef enum:
    BLOCK_CLASSES = 9        # 256 bytes << class, up to 64 KiB

cdef struct Block:
    uint8_t* data            # NULL = empty
    uint32_t size            # bytes in use
    uint32_t size_class

cdef struct MemoryPool:
    void* free_blocks[BLOCK_CLASSES]
    uint64_t taken           # bytes of blocks in use and free
    uint64_t budget

# A block that holds a copy of data. False: the budget is spent (the block stays empty).
cdef bint keep(MemoryPool* pool, const uint8_t* data, uint32_t size, Block* block) noexcept nogil
cdef void release(MemoryPool* pool, Block* block) noexcept nogil
cdef void free_pool(MemoryPool* pool) noexcept nogil

# Zeroed memory for an array that lives as long as its owner, on huge pages where the system has them: a look-up in it
# then costs one cache miss and no walk of page tables. NULL: no memory. `size` is needed again to free it.
cdef void* allocate_array(size_t count, size_t record) noexcept nogil
cdef void free_array(void* array, size_t count, size_t record) noexcept nogil

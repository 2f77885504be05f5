# Memory of the call path: large arrays made once, and recycled blocks for the messages of open transactions.

from libc.stdint cimport uint8_t, uint16_t, uint32_t, uint64_t

cdef enum:
    BLOCK_CLASSES = 9        # 256 bytes << class, up to 64 KiB

cdef struct Block:
    uint8_t* data            # NULL = empty
    uint32_t size            # bytes in use

# 64 KiB that hold blocks of one size.
cdef struct Slab:
    uint32_t next            # in the list it stands in, 0 = end
    uint32_t previous
    uint16_t used            # blocks
    uint16_t carved          # blocks that were ever used since it got this size
    uint16_t free_block      # the first of those given back, counted from 1; 0 = none
    uint8_t size_class

cdef struct MemoryPool:
    uint8_t* memory          # budget bytes of address space; what is not used is not resident
    Slab* slabs              # from 1 on
    uint32_t slab_count
    uint32_t fresh           # slabs that were never used
    uint32_t empty           # list of empty slabs that are still resident
    uint32_t empty_count
    uint32_t given_back      # list of those that are not
    uint32_t given_back_count
    uint32_t open_slabs[BLOCK_CLASSES]   # lists of slabs with a free block

# False: no address space for the budget.
cdef bint create_pool(MemoryPool* pool, uint64_t budget) noexcept nogil
cdef void free_pool(MemoryPool* pool) noexcept nogil
# A block that holds a copy of data. False: the budget is spent (the block stays empty).
cdef bint keep(MemoryPool* pool, const uint8_t* data, uint32_t size, Block* block) noexcept nogil
# Whether `keep` has a block for so many bytes, with `spare` of the budget (0 to 1) left for others.
cdef bint has_block(const MemoryPool* pool, uint32_t size, double spare) noexcept nogil
cdef void release(MemoryPool* pool, Block* block) noexcept nogil
# Bytes of the slabs that hold at least one block.
cdef uint64_t taken(const MemoryPool* pool) noexcept nogil

# Zeroed memory for an array that lives as long as its owner, on huge pages where the system has them: a look-up in it
# then costs one cache miss and no walk of page tables. NULL: no memory. `size` is needed again to free it.
cdef void* allocate_array(size_t count, size_t record) noexcept nogil
cdef void free_array(void* array, size_t count, size_t record) noexcept nogil

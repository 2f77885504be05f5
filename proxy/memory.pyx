"""Memory that is taken once or recycled within a budget, so that nothing an attacker sends makes the process grow."""

from libc.stdlib cimport free, malloc
from libc.string cimport memcpy

cdef extern from "<sys/mman.h>" nogil:
    void* mmap(void* address, size_t size, int protection, int flags, int fd, long offset)
    int munmap(void* address, size_t size)
    int madvise(void* address, size_t size, int advice)
    int PROT_READ
    int PROT_WRITE
    int MAP_PRIVATE
    int MAP_ANONYMOUS
    void* MAP_FAILED
    int MADV_HUGEPAGE


cdef bint keep(MemoryPool* pool, const uint8_t* data, uint32_t size, Block* block) noexcept nogil:
    cdef uint32_t size_class = 0
    while (<uint32_t>256 << size_class) < size:
        size_class += 1
    cdef uint32_t bytes_ = <uint32_t>256 << size_class
    cdef void* memory = pool.free_blocks[size_class] if size_class < BLOCK_CLASSES else NULL
    block.data = NULL
    if size_class >= BLOCK_CLASSES:
        return False
    if memory != NULL:
        pool.free_blocks[size_class] = (<void**>memory)[0]
    else:
        if pool.taken + bytes_ > pool.budget:
            trim(pool)
            if pool.taken + bytes_ > pool.budget:
                return False
        memory = malloc(bytes_)
        if memory == NULL:
            return False
        pool.taken += bytes_
    block.data = <uint8_t*>memory
    block.size = size
    block.size_class = size_class
    memcpy(memory, data, size)
    return True


cdef void release(MemoryPool* pool, Block* block) noexcept nogil:
    if block.data == NULL:
        return
    (<void**>block.data)[0] = pool.free_blocks[block.size_class]
    pool.free_blocks[block.size_class] = block.data
    block.data = NULL
    block.size = 0


# Gives every free block back to the system: blocks of one size may hold what another size needs.
cdef void trim(MemoryPool* pool) noexcept nogil:
    cdef int i
    cdef void* block
    cdef void* next_block
    for i in range(BLOCK_CLASSES):
        block = pool.free_blocks[i]
        while block != NULL:
            next_block = (<void**>block)[0]
            free(block)
            pool.taken -= <uint64_t>256 << i
            block = next_block
        pool.free_blocks[i] = NULL


cdef void free_pool(MemoryPool* pool) noexcept nogil:
    trim(pool)


cdef void* allocate_array(size_t count, size_t record) noexcept nogil:
    cdef size_t size = whole_pages(count, record)
    cdef void* array = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0)
    if array == MAP_FAILED:
        return NULL
    madvise(array, size, MADV_HUGEPAGE)
    return array


cdef void free_array(void* array, size_t count, size_t record) noexcept nogil:
    if array != NULL:
        munmap(array, whole_pages(count, record))


cdef inline size_t whole_pages(size_t count, size_t record) noexcept nogil:
    return (count * record + 4095) & ~<size_t>4095

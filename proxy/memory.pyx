"""Memory that is taken once or recycled within a budget, so that nothing an attacker sends makes the process grow.

Blocks for messages are carved out of slabs of 64 KiB, each for one size. A slab whose last block comes back serves any
size again; beyond a small stock its pages go back to the system at once, so that after a flood the process is as small
as before it.
"""

from libc.string cimport memcpy, memset

cdef extern from "<sys/mman.h>" nogil:
    void* mmap(void* address, size_t size, int protection, int flags, int fd, long offset)
    int munmap(void* address, size_t size)
    int madvise(void* address, size_t size, int advice)
    int PROT_READ
    int PROT_WRITE
    int MAP_PRIVATE
    int MAP_ANONYMOUS
    int MAP_NORESERVE
    void* MAP_FAILED
    int MADV_HUGEPAGE
    int MADV_DONTNEED

cdef enum:
    SLAB_BITS = 16
    SLAB = 1 << SLAB_BITS
    SMALLEST_BITS = 8
    STOCK = 128              # empty slabs that stay resident: 8 MiB


cdef bint create_pool(MemoryPool* pool, uint64_t budget) noexcept nogil:
    memset(pool, 0, sizeof(MemoryPool))
    pool.slab_count = <uint32_t>(budget >> SLAB_BITS)
    pool.slabs = <Slab*>allocate_array(pool.slab_count + 1, sizeof(Slab))
    pool.memory = <uint8_t*>mmap(
        NULL, <size_t>pool.slab_count << SLAB_BITS, PROT_READ | PROT_WRITE,
        MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0
    )
    if pool.memory == MAP_FAILED:
        pool.memory = NULL
    pool.fresh = pool.slab_count
    return pool.memory != NULL and pool.slabs != NULL


cdef void free_pool(MemoryPool* pool) noexcept nogil:
    if pool.memory != NULL:
        munmap(pool.memory, <size_t>pool.slab_count << SLAB_BITS)
    free_array(pool.slabs, pool.slab_count + 1, sizeof(Slab))
    pool.memory = NULL
    pool.slabs = NULL


cdef bint keep(MemoryPool* pool, const uint8_t* data, uint32_t size, Block* block) noexcept nogil:
    cdef uint32_t size_class = class_of(size)
    cdef uint32_t number
    cdef Slab* slab
    block.data = NULL
    if size_class >= BLOCK_CLASSES:
        return False
    number = pool.open_slabs[size_class]
    if number == 0:
        number = take_slab(pool)
        if number == 0:
            return False
        pool.slabs[number].size_class = <uint8_t>size_class
        push(pool, &pool.open_slabs[size_class], number)
    slab = &pool.slabs[number]
    block.data = take_block(pool, number)
    block.size = size
    if slab.free_block == 0 and slab.carved == blocks_of(size_class):
        unlink(pool, &pool.open_slabs[size_class], number)
    memcpy(block.data, data, size)
    return True


cdef bint has_block(const MemoryPool* pool, uint32_t size, double spare) noexcept nogil:
    cdef uint32_t size_class = class_of(size)
    cdef uint32_t left = pool.fresh + pool.empty_count + pool.given_back_count
    if size_class >= BLOCK_CLASSES:
        return False
    if pool.open_slabs[size_class] == 0:
        if left == 0:
            return False
        left -= 1
    return left >= pool.slab_count * spare


cdef void release(MemoryPool* pool, Block* block) noexcept nogil:
    cdef uint32_t number
    cdef Slab* slab
    cdef bint was_full
    if block.data == NULL:
        return
    number = <uint32_t>((block.data - pool.memory) >> SLAB_BITS) + 1
    slab = &pool.slabs[number]
    was_full = slab.free_block == 0 and slab.carved == blocks_of(slab.size_class)
    memcpy(block.data, &slab.free_block, sizeof(uint16_t))
    slab.free_block = <uint16_t>(
        ((block.data - slab_memory(pool, number)) >> (SMALLEST_BITS + slab.size_class)) + 1
    )
    slab.used -= 1
    block.data = NULL
    block.size = 0
    if slab.used == 0:
        if not was_full:
            unlink(pool, &pool.open_slabs[<int>slab.size_class], number)
        give_back(pool, number)
    elif was_full:
        push(pool, &pool.open_slabs[<int>slab.size_class], number)


cdef uint64_t taken(const MemoryPool* pool) noexcept nogil:
    return <uint64_t>(pool.slab_count - pool.fresh - pool.empty_count - pool.given_back_count) << SLAB_BITS


cdef inline uint32_t class_of(uint32_t size) noexcept nogil:
    cdef uint32_t size_class = 0
    while (<uint32_t>1 << (SMALLEST_BITS + size_class)) < size:
        size_class += 1
    return size_class


cdef inline uint32_t blocks_of(uint32_t size_class) noexcept nogil:
    return SLAB >> (SMALLEST_BITS + size_class)


cdef inline uint8_t* slab_memory(const MemoryPool* pool, uint32_t number) noexcept nogil:
    return pool.memory + (<size_t>(number - 1) << SLAB_BITS)


# An empty slab: one that is resident if there is one. 0 = the budget is spent.
cdef uint32_t take_slab(MemoryPool* pool) noexcept nogil:
    cdef uint32_t number = pool.empty
    if number:
        unlink(pool, &pool.empty, number)
        pool.empty_count -= 1
    elif pool.given_back:
        number = pool.given_back
        unlink(pool, &pool.given_back, number)
        pool.given_back_count -= 1
    elif pool.fresh:
        number = pool.slab_count - pool.fresh + 1
        pool.fresh -= 1
    if number:
        memset(&pool.slabs[number], 0, sizeof(Slab))
    return number


cdef uint8_t* take_block(MemoryPool* pool, uint32_t number) noexcept nogil:
    cdef Slab* slab = &pool.slabs[number]
    cdef uint8_t* block
    slab.used += 1
    if slab.free_block == 0:
        slab.carved += 1
        return slab_memory(pool, number) + (<size_t>(slab.carved - 1) << (SMALLEST_BITS + slab.size_class))
    block = slab_memory(pool, number) + (<size_t>(slab.free_block - 1) << (SMALLEST_BITS + slab.size_class))
    memcpy(&slab.free_block, block, sizeof(uint16_t))
    return block


cdef void give_back(MemoryPool* pool, uint32_t number) noexcept nogil:
    if pool.empty_count < STOCK:
        push(pool, &pool.empty, number)
        pool.empty_count += 1
        return
    madvise(slab_memory(pool, number), SLAB, MADV_DONTNEED)
    push(pool, &pool.given_back, number)
    pool.given_back_count += 1


cdef inline void push(MemoryPool* pool, uint32_t* head, uint32_t number) noexcept nogil:
    pool.slabs[number].previous = 0
    pool.slabs[number].next = head[0]
    if head[0]:
        pool.slabs[head[0]].previous = number
    head[0] = number


cdef inline void unlink(MemoryPool* pool, uint32_t* head, uint32_t number) noexcept nogil:
    cdef Slab* slab = &pool.slabs[number]
    if slab.previous:
        pool.slabs[slab.previous].next = slab.next
    else:
        head[0] = slab.next
    if slab.next:
        pool.slabs[slab.next].previous = slab.previous


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

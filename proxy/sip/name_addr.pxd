# name-addr and addr-spec values: From, To, Contact, Route, P-Asserted-Identity (RFC 3261 section 20.10).

from libc.stdint cimport uint8_t, uint32_t

from proxy.sip.grammar cimport Slice

cdef struct NameAddr:
    Slice display            # as written, quotes included
    Slice uri                # without angle brackets
    Slice parameters         # header parameters behind the first ';', without it; folds and blanks as written
    uint32_t end             # offset of the comma that ends this value, or of the end of the header
    uint8_t bracketed

# Reads the first value of data[start:end]. `single` makes a comma outside quotes and brackets an error.
cdef bint parse_name_addr(
    const uint8_t* data, uint32_t start, uint32_t end, bint single, NameAddr* value
) noexcept nogil
# Offset behind the last byte of a value that is not blank.
cdef uint32_t value_end(const uint8_t* data, const NameAddr* value) noexcept nogil
# Header parameter `name` (lower case), blanks around '=' allowed.
cdef bint header_parameter(
    const uint8_t* data, Slice parameters, const char* name, uint32_t name_size, Slice* value
) noexcept nogil

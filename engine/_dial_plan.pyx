# Dial plans: what the text of a URI's user part is, read as a trunk writes its numbers.
#
# Normalising reads the text once into decimal digits (`scan`), then asks the plan what they are (`interpret`). The
# canonical text of a number normalises to that number under the plan that made it.
#
# phone-context (RFC 3966 section 5.1.5) is a label, not a prefix. A local number within a context of the plan's own
# country, or within a domain, is read by the plan. Within the bare calling code of another country it is that country's
# national number, so the code is put before it. Any narrower foreign context (+1-914-555) cannot be resolved here:
# invalid.

cimport cython
from cpython.mem cimport PyMem_Calloc, PyMem_Free
from libc.stdint cimport uint8_t
from libc.string cimport memcmp, memset

from engine._decision cimport KIND_ANONYMOUS, KIND_INVALID, KIND_NONE, KIND_NUMBER, KIND_SHORT, NumberKind, number_t
from engine._numbers cimport (
    EMERGENCY_DIGITS,
    MAX_DIALLED,
    MAX_DIGITS,
    Digits,
    bare,
    calling_code_length,
    is_emergency_code,
    is_short_text,
    make_number,
    number_kind,
    short_from_text,
    split_digits,
)

from engine.numbers import NO_COUNTRY

cdef enum:
    MIN_FOREIGN = 7          # digits of the shortest E.164 numbers in use (Niue: 683 and four)

cdef struct Scanned:
    Digits digits
    bint plus
    bint odd                 # holds what no number holds
    bint words               # holds a letter


# --- reading ---------------------------------------------------------------------------------------------------------

cdef int hex_value(uint8_t c) noexcept nogil:
    if c'0' <= c <= c'9':
        return c - c'0'
    if c'a' <= (c | 0x20) <= c'f':
        return (c | 0x20) - c'a' + 10
    return -1


cdef Py_ssize_t unescape(const uint8_t* text, Py_ssize_t length, uint8_t* out, Py_ssize_t room) noexcept nogil:
    """Decodes percent-escapes once. Returns the bytes written, -1 if they do not fit or an escape is broken."""
    cdef Py_ssize_t i = 0, written = 0
    while i < length:
        if written == room:
            return -1
        if text[i] != c'%':
            out[written] = text[i]
            i += 1
        else:
            if i + 2 >= length or hex_value(text[i + 1]) < 0 or hex_value(text[i + 2]) < 0:
                return -1
            out[written] = <uint8_t>(hex_value(text[i + 1]) * 16 + hex_value(text[i + 2]))
            i += 3
        written += 1
    return written


cdef int fold_digit(const uint8_t* text, Py_ssize_t left, int* value) noexcept nogil:
    """Bytes of the decimal digit that text begins with, 0 if it is none; sets its value.

    ASCII, full-width (U+FF10), Arabic-Indic (U+0660) and extended Arabic-Indic (U+06F0) in UTF-8.
    """
    if c'0' <= text[0] <= c'9':
        value[0] = text[0] - c'0'
        return 1
    if left >= 2 and text[0] == 0xD9 and 0xA0 <= text[1] <= 0xA9:
        value[0] = text[1] - 0xA0
        return 2
    if left >= 2 and text[0] == 0xDB and 0xB0 <= text[1] <= 0xB9:
        value[0] = text[1] - 0xB0
        return 2
    if left >= 3 and text[0] == 0xEF and text[1] == 0xBC and 0x90 <= text[2] <= 0x99:
        value[0] = text[2] - 0x90
        return 3
    return 0


cdef bint is_separator(uint8_t c) noexcept nogil:
    return c == c'-' or c == c'.' or c == c'(' or c == c')' or c == c' '


cdef bint is_letter(uint8_t c) noexcept nogil:
    return c'a' <= (c | 0x20) <= c'z'


cdef void scan(const uint8_t* text, Py_ssize_t length, Scanned* found) noexcept nogil:
    cdef Py_ssize_t i = 0
    cdef int size, value = 0
    memset(found, 0, sizeof(Scanned))
    while i < length:
        size = fold_digit(text + i, length - i, &value)
        if size:
            if found.digits.length == MAX_DIALLED:
                found.odd = True
                return
            found.digits.digit[found.digits.length] = <uint8_t>value
            found.digits.length += 1
        elif text[i] == c'+':
            found.odd |= found.plus or found.digits.length > 0
            found.plus = True
        elif not is_separator(text[i]):
            found.odd = True
            found.words |= is_letter(text[i])
        i += size if size else 1


cdef bint same_word(const uint8_t* text, Py_ssize_t length, const char* word) noexcept nogil:
    cdef Py_ssize_t i
    for i in range(length):
        if word[i] == 0 or (text[i] | 0x20) != <uint8_t>word[i]:
            return False
    return word[length] == 0


cdef bint is_anonymous(const uint8_t* text, Py_ssize_t length) noexcept nogil:
    return (
        same_word(text, length, b"anonymous")
        or same_word(text, length, b"restricted")
        or same_word(text, length, b"unavailable")
        or same_word(text, length, b"private")
    )


cdef bint append_digits(Digits* digits, const Digits* more, int start) noexcept nogil:
    cdef int i
    if digits.length + more.length - start > MAX_DIALLED:
        return False
    for i in range(start, more.length):
        digits.digit[digits.length] = more.digit[i]
        digits.length += 1
    return True


# --- dial plan -------------------------------------------------------------------------------------------------------

cdef bint begins_with(const Digits* digits, int start, const Digits* prefix) noexcept nogil:
    if digits.length - start < prefix.length:
        return False
    return memcmp(&digits.digit[start], &prefix.digit[0], prefix.length) == 0


cdef bint is_short_code(const DialPlanRules* rules, const Digits* digits, int start) noexcept nogil:
    cdef int length = digits.length - start, i
    if length == EMERGENCY_DIGITS and is_emergency_code(
        digits.digit[start] * 100 + digits.digit[start + 1] * 10 + digits.digit[start + 2]
    ):
        return True
    for i in range(rules.short_count):
        if rules.short_codes[i].min_digits <= length <= rules.short_codes[i].max_digits:
            if begins_with(digits, start, &rules.short_codes[i].prefix):
                return True
    return False


cdef bint is_national(const DialPlanRules* rules, const Digits* digits) noexcept nogil:
    cdef int i
    for i in range(rules.national_count):
        if digits.length == rules.national[i].digits and begins_with(digits, 0, &rules.national[i].prefix):
            return True
    return False


cdef number_t completed(NumberKind kind, const Digits* code, const Digits* digits, int start) noexcept nogil:
    cdef Digits whole
    whole.length = 0
    if not append_digits(&whole, code, 0) or not append_digits(&whole, digits, start) or whole.length > MAX_DIGITS:
        return bare(KIND_INVALID)
    return make_number(kind, &whole)


cdef number_t own_national(const DialPlanRules* rules, const Digits* digits, int start) noexcept nogil:
    """A number of the plan's country, from its national significant digits. Behind a prefix a short code is one."""
    cdef int length = digits.length - start
    if length < rules.min_national or length > rules.max_national:
        return bare(KIND_INVALID)
    if rules.national_prefix.length and begins_with(digits, start, &rules.national_prefix):
        return bare(KIND_INVALID)
    if is_short_code(rules, digits, start):
        return completed(KIND_SHORT, &rules.country, digits, start)
    return completed(KIND_NUMBER, &rules.country, digits, start)


cdef number_t international(const DialPlanRules* rules, const Digits* digits, int start) noexcept nogil:
    """E.164 digits, calling code first. Of the plan's own country, short codes and `+44 (0)20` are seen through."""
    cdef int national = start + rules.country.length
    if rules.country.length and begins_with(digits, start, &rules.country):
        if is_short_code(rules, digits, national):
            return completed(KIND_SHORT, &rules.country, digits, national)
        if rules.national_prefix.length and begins_with(digits, national, &rules.national_prefix):
            national += rules.national_prefix.length
        return own_national(rules, digits, national)
    if digits.length - start < MIN_FOREIGN or digits.length - start > MAX_DIGITS or digits.digit[start] == 0:
        return bare(KIND_INVALID)
    return suffix_number(digits, start)


cdef number_t number_folded(const DialPlanRules* rules, number_t number) noexcept nogil:
    cdef Digits digits
    if number_kind(number) != KIND_NUMBER or rules.country.length == 0:
        return number
    split_digits(number, &digits)
    if begins_with(&digits, 0, &rules.country) and is_short_code(rules, &digits, rules.country.length):
        return make_number(KIND_SHORT, &digits)
    return number


cdef number_t suffix_number(const Digits* digits, int start) noexcept nogil:
    cdef Digits whole
    whole.length = 0
    append_digits(&whole, digits, start)
    return make_number(KIND_NUMBER, &whole)


cdef number_t interpret(const DialPlanRules* rules, const Digits* digits) noexcept nogil:
    """What digits without a plus are, the most specific reading first."""
    cdef int i
    if is_short_code(rules, digits, 0):
        return completed(KIND_SHORT, &rules.short_country, digits, 0)
    for i in range(rules.international_count):
        if begins_with(digits, 0, &rules.international[i]):
            return international(rules, digits, rules.international[i].length)
    if is_national(rules, digits):
        return own_national(rules, digits, 0)
    if rules.national_prefix.length and begins_with(digits, 0, &rules.national_prefix):
        return own_national(rules, digits, rules.national_prefix.length)
    if rules.international_without_plus and digits.length > rules.longest_national:
        if begins_with(digits, 0, &rules.country):
            return international(rules, digits, 0)
    return bare(KIND_INVALID)


# --- parameters of the user part -------------------------------------------------------------------------------------

cdef Py_ssize_t find_byte(const uint8_t* text, Py_ssize_t start, Py_ssize_t length, uint8_t wanted) noexcept nogil:
    while start < length and text[start] != wanted:
        start += 1
    return start


cdef bint find_context(const uint8_t* text, Py_ssize_t start, Py_ssize_t length, Scanned* context) noexcept nogil:
    """The phone-context among the parameters, as far as it is a global number; False if there is none such."""
    cdef uint8_t decoded[64]
    cdef Py_ssize_t end, equals, size
    while start < length:
        end = find_byte(text, start + 1, length, c';')
        equals = find_byte(text, start + 1, end, c'=')
        if equals < end and same_word(text + start + 1, equals - start - 1, b"phone-context"):
            size = unescape(text + equals + 1, end - equals - 1, decoded, sizeof(decoded))
            if size < 0:
                return False
            scan(decoded, size, context)
            return context.plus and not context.odd and context.digits.length > 0
        start = end
    return False


cdef number_t within_context(
    const DialPlanRules* rules, const Digits* digits, const Digits* context
) noexcept nogil:
    cdef Digits whole
    if rules.country.length and begins_with(context, 0, &rules.country):
        return interpret(rules, digits)
    whole.length = 0
    if calling_code_length(context) != context.length:
        return bare(KIND_INVALID)
    if not append_digits(&whole, context, 0) or not append_digits(&whole, digits, 0):
        return bare(KIND_INVALID)
    return international(rules, &whole, 0)


cdef number_t normalize(const DialPlanRules* rules, const uint8_t* text, Py_ssize_t length) noexcept nogil:
    cdef uint8_t decoded[128]
    cdef Scanned found, context
    cdef Py_ssize_t parameters, size, start = 0
    if length >= 4 and same_word(text, 4, b"tel:"):
        start = 4
    parameters = find_byte(text, start, length, c';')
    size = unescape(text + start, parameters - start, decoded, sizeof(decoded))
    if size < 0:
        return bare(KIND_INVALID)
    if size == 0:
        return bare(KIND_NONE)
    scan(decoded, size, &found)
    if found.odd:
        return words_number(decoded, size, &found)
    if found.digits.length == 0:
        return bare(KIND_INVALID)
    if found.plus:
        return international(rules, &found.digits, 0)
    if find_context(text, parameters, length, &context):
        return within_context(rules, &found.digits, &context.digits)
    return interpret(rules, &found.digits)


cdef number_t words_number(const uint8_t* text, Py_ssize_t size, const Scanned* found) noexcept nogil:
    if found.words and is_anonymous(text, size):
        return bare(KIND_ANONYMOUS)
    if is_short_text(text, size):
        return short_from_text(text, size)
    return bare(KIND_INVALID)


# --- Python ----------------------------------------------------------------------------------------------------------

cdef int read_digits(str text, Digits* out) except -1:
    cdef bytes raw = text.encode()
    cdef Py_ssize_t i
    if len(raw) > MAX_DIGITS or not (raw == b"" or raw.isdigit()):
        raise ValueError(f"{text!r}: expected at most {MAX_DIGITS} digits")
    out.length = <int>len(raw)
    for i in range(len(raw)):
        out.digit[i] = <uint8_t>raw[i] - c'0'
    return 0


cdef int check_count(object items, int most, str what) except -1:
    if len(items) > most:
        raise ValueError(f"{what}: {len(items)} are too many, at most {most}")
    return 0


@cython.final
cdef class DialPlan:
    def __cinit__(self, source):
        self.source = source
        self.rules = <DialPlanRules*>PyMem_Calloc(1, sizeof(DialPlanRules))
        if self.rules is NULL:
            raise MemoryError
        compile_plan(source, self.rules)

    def __dealloc__(self):
        PyMem_Free(self.rules)

    def normalize(self, text) -> int:
        cdef bytes raw = text.encode("utf-8", "surrogateescape") if isinstance(text, str) else bytes(text)
        return normalize(self.rules, raw, len(raw))


cdef int compile_plan(source, DialPlanRules* rules) except -1:
    cdef int i
    check_count(source.international_prefixes, MAX_PREFIXES, "international_prefixes")
    check_count(source.national_numbers, MAX_NATIONAL, "national_numbers")
    check_count(source.short_codes, MAX_SHORT_CODES, "short_codes")
    read_digits(source.country_code, &rules.country)
    read_digits(source.country_code or NO_COUNTRY, &rules.short_country)
    read_digits(source.national_prefix, &rules.national_prefix)
    if rules.country.length and calling_code_length(&rules.country) != rules.country.length:
        raise ValueError(f"country_code {source.country_code!r}: no calling code of E.164")
    for i, prefix in enumerate(sorted(source.international_prefixes, key=len, reverse=True)):
        read_digits(prefix, &rules.international[i])
    for i, form in enumerate(source.national_numbers):
        read_digits(form.prefix, &rules.national[i].prefix)
        rules.national[i].digits = form.digits
        rules.longest_national = max(rules.longest_national, <int>form.digits)
    for i, code in enumerate(source.short_codes):
        read_digits(code.prefix, &rules.short_codes[i].prefix)
        rules.short_codes[i].min_digits = code.min_digits
        rules.short_codes[i].max_digits = min(<int>code.max_digits, MAX_DIGITS - rules.short_country.length)
    rules.international_count = <int>len(source.international_prefixes)
    rules.national_count = <int>len(source.national_numbers)
    rules.short_count = <int>len(source.short_codes)
    rules.min_national = source.min_national_digits
    rules.max_national = source.max_national_digits
    rules.international_without_plus = source.international_without_plus
    rules.compiled = 1
    return 0

# The words under which workers count senders and shapes of requests, for people who ask what has been counted.

from libc.stdint cimport uint32_t

from proxy.fingerprint cimport fingerprint
from proxy.screening cimport Screening
from proxy.sip.address cimport Address, address_from_python
from proxy.sip.message cimport Message, parse_message


def source_subject(bytes secret not None, str address not None):
    cdef Screening screening = Screening(0, secret, 1)
    cdef Address source
    address_from_python(address, 0, &source)
    return screening.source_key(&source)


def request_subject(bytes secret not None, bytes request not None):
    cdef Screening screening = Screening(0, secret, 1)
    cdef Message message
    cdef const char* fault
    if parse_message(request, <uint32_t>len(request), &message, &fault) != 0 or not message.is_request:
        raise ValueError("expected a request line and headers that are whole")
    return fingerprint(&message, screening.secret)

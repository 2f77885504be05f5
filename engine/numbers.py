"""Facts about the world's numbers: calling codes, their regions, and the built-in dial plans.

Calling codes are those of ITU-T E.164 assignments, regions ISO 3166-1 alpha-2. A code shared by several countries
carries the region of its largest user, because a national short code is named by region (CN:95588) and needs one name.
Dial plans hold what a number's form says, not whether it is allocated.
"""

from __future__ import annotations

from engine.rules import DialPlan, NationalNumber, ShortCode

NO_COUNTRY = "999"
"""Stands for the country of a short code under a dial plan without one: E.164 keeps +999 unassigned, ISO keeps ZZ."""

_CALLING_CODES = """
1 US  7 RU
20 EG  27 ZA  30 GR  31 NL  32 BE  33 FR  34 ES  36 HU  39 IT
40 RO  41 CH  43 AT  44 GB  45 DK  46 SE  47 NO  48 PL  49 DE
51 PE  52 MX  53 CU  54 AR  55 BR  56 CL  57 CO  58 VE
60 MY  61 AU  62 ID  63 PH  64 NZ  65 SG  66 TH
81 JP  82 KR  84 VN  86 CN
90 TR  91 IN  92 PK  93 AF  94 LK  95 MM  98 IR
211 SS  212 MA  213 DZ  216 TN  218 LY
220 GM  221 SN  222 MR  223 ML  224 GN  225 CI  226 BF  227 NE  228 TG  229 BJ
230 MU  231 LR  232 SL  233 GH  234 NG  235 TD  236 CF  237 CM  238 CV  239 ST
240 GQ  241 GA  242 CG  243 CD  244 AO  245 GW  246 IO  247 AC  248 SC  249 SD
250 RW  251 ET  252 SO  253 DJ  254 KE  255 TZ  256 UG  257 BI  258 MZ
260 ZM  261 MG  262 RE  263 ZW  264 NA  265 MW  266 LS  267 BW  268 SZ  269 KM
290 SH  291 ER  297 AW  298 FO  299 GL
350 GI  351 PT  352 LU  353 IE  354 IS  355 AL  356 MT  357 CY  358 FI  359 BG
370 LT  371 LV  372 EE  373 MD  374 AM  375 BY  376 AD  377 MC  378 SM  379 VA
380 UA  381 RS  382 ME  383 XK  385 HR  386 SI  387 BA  389 MK
420 CZ  421 SK  423 LI
500 FK  501 BZ  502 GT  503 SV  504 HN  505 NI  506 CR  507 PA  508 PM  509 HT
590 GP  591 BO  592 GY  593 EC  594 GF  595 PY  596 MQ  597 SR  598 UY  599 CW
670 TL  672 NF  673 BN  674 NR  675 PG  676 TO  677 SB  678 VU  679 FJ
680 PW  681 WF  682 CK  683 NU  685 WS  686 KI  687 NC  688 TV  689 PF
690 TK  691 FM  692 MH
850 KP  852 HK  853 MO  855 KH  856 LA  880 BD  886 TW
960 MV  961 LB  962 JO  963 SY  964 IQ  965 KW  966 SA  967 YE  968 OM
970 PS  971 AE  972 IL  973 BH  974 QA  975 BT  976 MN  977 NP
992 TJ  993 TM  994 AZ  995 GE  996 KG  998 UZ
999 ZZ
"""


def _region_by_calling_code() -> dict[str, str]:
    words = _CALLING_CODES.split()
    return dict(zip(words[::2], words[1::2], strict=True))


REGION_BY_CALLING_CODE: dict[str, str] = _region_by_calling_code()
CALLING_CODE_BY_REGION: dict[str, str] = {region: code for code, region in REGION_BY_CALLING_CODE.items()}

EMERGENCY_CODES: tuple[str, ...] = ("110", "119", "120", "122", "112", "911", "999", "000")
"""Calls to these are never screened, on any trunk."""


def _codes(*forms: tuple[str, int, int]) -> tuple[ShortCode, ...]:
    return tuple(ShortCode(prefix=prefix, min_digits=low, max_digits=high) for prefix, low, high in forms)


def _numbers(*forms: tuple[str, int]) -> tuple[NationalNumber, ...]:
    return tuple(NationalNumber(prefix=prefix, digits=digits) for prefix, digits in forms)


# MIIT telecommunication network numbering plan (2017) and the 95 rules of 2020: 95 plus 3 to 6 digits, 96 plus 3 or 4,
# 400/800 plus 7, carriers' 100xx, 1010 plus 4, SMS access 106, 11x and 12x services.
CN = DialPlan(
    name="cn",
    country_code="86",
    international_prefixes=("00",),
    national_prefix="0",
    national_numbers=_numbers(*((f"1{second}", 11) for second in "3456789")),
    short_codes=_codes(
        ("95", 5, 8),
        ("96", 5, 6),
        ("400", 10, 10),
        ("800", 10, 10),
        ("100", 5, 5),
        ("1010", 8, 8),
        ("106", 6, 9),  # not 10 digits: 106xxxxxxx in +86 106xxxxxxx is Beijing (10) and a subscriber's 6xxxxxxx
        ("106", 11, 13),
        ("11", 3, 5),
        ("12", 3, 5),
    ),
    min_national_digits=7,
    max_national_digits=13,
)

# North American Numbering Plan: ten digits, N11 codes, 988 (FCC 20-100).
NANP = DialPlan(
    name="nanp",
    country_code="1",
    international_prefixes=("011",),
    national_prefix="1",
    national_numbers=_numbers(*((first, 10) for first in "23456789")),
    short_codes=_codes(*((f"{first}11", 3, 3) for first in "2345678"), ("911", 3, 3), ("988", 3, 3)),
    min_national_digits=10,
    max_national_digits=10,
)

# Ofcom National Telephone Numbering Plan: 0 plus nine or ten digits (0800 1111 and 0500 have fewer), 1xx, 116, 118.
UK = DialPlan(
    name="uk",
    country_code="44",
    international_prefixes=("00",),
    national_prefix="0",
    short_codes=_codes(
        ("100", 3, 3),
        ("101", 3, 3),
        ("105", 3, 3),
        ("111", 3, 3),
        ("112", 3, 3),
        ("116", 6, 6),
        ("118", 6, 6),
        ("119", 3, 3),
        ("123", 3, 3),
        ("159", 3, 3),
        ("999", 3, 3),
    ),
    min_national_digits=7,
    max_national_digits=10,
)

# ARCEP numbering plan: 0 plus nine digits, 1X and 1XX urgent calls, 10XY and 3BPQ, 116 and 118.
FR = DialPlan(
    name="fr",
    country_code="33",
    international_prefixes=("00",),
    national_prefix="0",
    short_codes=_codes(
        ("10", 4, 4),
        ("112", 3, 3),
        ("114", 3, 3),
        ("115", 3, 3),
        ("116", 6, 6),
        ("118", 6, 6),
        ("119", 3, 3),
        ("15", 2, 2),
        ("17", 2, 2),
        ("18", 2, 2),
        ("19", 3, 3),
        ("3", 4, 4),
    ),
    min_national_digits=9,
    max_national_digits=9,
)

# No country: only E.164 is understood, with or without plus; emergency codes are known everywhere.
GENERIC = DialPlan(name="generic", country_code="", national_prefix="", min_national_digits=7, max_national_digits=15)

BUILTIN_DIAL_PLANS: dict[str, DialPlan] = {plan.name: plan for plan in (CN, NANP, UK, FR, GENERIC)}

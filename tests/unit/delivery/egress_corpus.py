"""What must never be connected to: addresses and spellings of URLs, for the unit and the wire tests."""

from __future__ import annotations

FORBIDDEN_V4 = (  # noqa: SIM905 - a table reads better so
    "0.0.0.0 0.0.0.1 0.255.255.255 10.0.0.0 10.1.2.3 10.255.255.255 100.64.0.0 100.64.0.1 100.100.100.200 "
    "100.127.255.255 127.0.0.0 127.0.0.1 127.0.0.53 127.1.2.3 127.255.255.255 168.63.129.16 169.254.0.0 "
    "169.254.0.1 169.254.169.254 169.254.170.2 169.254.170.23 169.254.42.42 169.254.255.255 172.16.0.0 "
    "172.16.0.1 172.20.1.1 172.31.255.255 192.0.0.0 192.0.0.1 192.0.0.8 192.0.0.170 192.0.0.192 192.0.0.255 "
    "192.0.2.0 192.0.2.1 192.0.2.255 192.31.196.1 192.52.193.1 192.88.99.0 192.88.99.1 192.88.99.255 "
    "192.168.0.0 192.168.0.1 192.168.255.255 192.175.48.1 198.18.0.0 198.18.0.1 198.19.255.255 198.51.100.0 "
    "198.51.100.7 198.51.100.255 203.0.113.0 203.0.113.9 203.0.113.255 224.0.0.0 224.0.0.1 224.0.0.251 "
    "232.1.1.1 239.255.255.255 240.0.0.0 240.0.0.1 250.1.2.3 255.255.255.254 255.255.255.255"
).split()
FORBIDDEN_V6 = (  # noqa: SIM905 - a table reads better so
    ":: ::1 ::2 ::7f00:1 ::127.0.0.1 ::8.8.8.8 ::ffff:127.0.0.1 ::ffff:10.0.0.1 ::ffff:8.8.8.8 "
    "::ffff:169.254.169.254 ::ffff:0:127.0.0.1 ::ffff:0:8.8.8.8 64:ff9b::127.0.0.1 64:ff9b::10.0.0.1 "
    "64:ff9b::8.8.8.8 64:ff9b::a9fe:a9fe 64:ff9b:1::1 64:ff9b:1::10.0.0.1 64:ff9b:1:ffff::1 100::1 "
    "100:0:0:1::1 2001::1 2001:0:4136:e378:8000:63bf:3fff:fdd2 2001:2::1 2001:10::1 2001:20::1 2001:1::1 "
    "2001:1ff::1 2001:db8::1 2001:db8:ffff::1 2002::1 2002:7f00:1:: 2002:a00:1::1 2002:808:808::1 "
    "2620:4f:8000::1 3ffe::1 3fff::1 3fff:fff::1 4000::1 5f00::1 8000::1 c000::1 e000::1 f000::1 fc00::1 "
    "fc00:ec2::254 fd00::1 fd00:ec2::254 fd00:ec2::23 fd20:ce::254 fd00:42::42 fdff:ffff::1 fe80::1 "
    "fe80::5efe:10.0.0.1 febf::1 fec0::1 feff::1 ff00::1 ff02::1 ff02::fb ff05::2 ff0e::1 "
    "2606:4700::5efe:127.0.0.1 2606:4700::200:5efe:10.0.0.1 1::1 200::1 fe00::1"
).split()
NOT_NUMERIC = [
    "",
    "localhost",
    "fe80::1%eth0",
    "::1%lo",
    "127.1",
    "0x7f.1",
    "2130706433",
    "1.2.3.4/8",
    "1.2.3.04",
]
FORBIDDEN_ADDRESSES = FORBIDDEN_V4 + FORBIDDEN_V6 + NOT_NUMERIC
REFUSED_URLS = [
    "", "dsp.example.com", "http://dsp.example.com/", "ftp://dsp.example.com/", "//dsp.example.com/",
    "https:/dsp.example.com/", "https:dsp.example.com", " https://dsp.example.com/",
    "https://dsp.example.com/ ", "https://dsp.example.com/a b", "https://dsp.example.com/\r\nX: y",
    "https://dsp.example.com/\x00", "https://dsp.exa\tmple.com/", "https://dsp.example.com/\x7f",
    "https://dsp.example.com/\u2028", "https://dsp.example.com/#top", "https://dsp.example.com#@evil.test/",
    "https://user@dsp.example.com/", "https://user:pass@dsp.example.com/", "https://@dsp.example.com/",
    "https://good.test\\@evil.test/", "https://good.test\\.evil.test/", "https:\\\\dsp.example.com/",
    "https:///path", "https://", "https://:443/", "https://.example.com/", "https://a..b/", "https://-a.test/",
    "https://a-.test/", "https://a,b.test/", "https://a%2eb.test/", "https://%31%32%37.0.0.1/",
    "https://dsp.example.com:/", "https://dsp.example.com:0/", "https://dsp.example.com:65536/",
    "https://dsp.example.com:443a/", "https://dsp.example.com:-1/", "https://dsp.example.com:+1/",
    "https://dsp.example.com:٤٤٣/", "https://a:1:2/", "https://[::1/", "https://::1/", "https://[::1]x/",
    "https://[::1%25eth0]/", "https://[fe80::1%eth0]/", "https://[v1.x]/", "https://[]/",
    "https://[127.0.0.1]/", "https://127.1/", "https://127.0.1/", "https://2130706433/", "https://0x7f.1/",
    "https://0x7f000001/", "https://0177.0.0.1/", "https://127.0.0.01/", "https://0/", "https://0x/",
    "https://1.2.3.4.5/", "https://256.1.1.1/", "https://127.0.0.0x1/", "https://example.1/", "https://①/",
    "https://example.0x7f/", "https://dsp.example.com/ü", f"https://{'a' * 64}.test/",
    f"https://{'a.' * 130}test/", "https://a.test/" + "a" * 5000, "https://\u202e.test/", "https://xn--\u0301/",
]  # fmt: skip

# SPDX-License-Identifier: GPL-2.0-or-later
#
# What rst2man writes, as formatters want it: no blank line below a heading,
# which makes one by itself, and a font that they know.
/^\.S[HS] /{
:head
n
/^\.sp$/d
/^\.S[HS] /b head
}
s/^\.ft C$/.ft CR/

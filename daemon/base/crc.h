/* SPDX-License-Identifier: GPL-2.0-or-later */
/* A checksum against torn and damaged files, not against forgers. */
#ifndef RECLAIM_BASE_CRC_H
#define RECLAIM_BASE_CRC_H

#include <stddef.h>
#include <stdint.h>

/* CRC-32, that of Ethernet and zlib. */
uint32_t crc32(const void *data, size_t n);

#endif

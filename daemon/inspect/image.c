// SPDX-License-Identifier: GPL-2.0-or-later
#include "inspect/image.h"

#include <errno.h>
#include <string.h>

#define PAGE_ADDR(entry) ((entry) & ~(REMOTE_PAGE - 1))
#define PAGE_FLAGS(entry) ((uint8_t)((entry)&0xff))

/* The maps text line by line, as /proc has it. */
static int image_maps(const char *text, size_t len, struct maps *ret)
{
	struct maps maps = { .text = malloc(len + 1) };
	uint64_t end = 0;
	size_t room = 0;
	int r = maps.text ? 0 : -ENOMEM;

	if (r == 0) {
		memcpy(maps.text, text, len);
		maps.text[len] = '\0';
	}
	for (char *line = maps.text, *next; r == 0 && *line; line = next) {
		next = line + strcspn(line, "\n");
		if (*next)
			*next++ = '\0';
		if (maps.n == room) {
			struct map *v = reallocarray(maps.v, room = room ? room * 2 : 64, sizeof(*v));

			if (!v) {
				r = -ENOMEM;
				break;
			}
			maps.v = v;
		}
		r = maps_parse_line(line, &maps.v[maps.n]);
		if (r == 0 && (maps.v[maps.n].start < end || maps.v[maps.n].end <= maps.v[maps.n].start))
			r = -EBADMSG;
		if (r == 0)
			end = maps.v[maps.n++].end;
	}
	if (r < 0) {
		maps_done(&maps);
		return r;
	}
	*ret = maps;
	return 0;
}

static int image_index(const unsigned char *entries, size_t n, struct image *img, size_t *ret_recorded)
{
	uint32_t recorded = 0;
	uint64_t last = 0;

	img->pages = calloc(n ? n : 1, sizeof(*img->pages));
	img->slots = calloc(n ? n : 1, sizeof(*img->slots));
	if (!img->pages || !img->slots)
		return -ENOMEM;
	for (size_t i = 0; i < n; i++) {
		memcpy(&img->pages[i], entries + i * sizeof(uint64_t), sizeof(uint64_t));
		if (i && PAGE_ADDR(img->pages[i]) <= last)
			return -EBADMSG;
		last = PAGE_ADDR(img->pages[i]);
		img->slots[i] = recorded;
		recorded += img->pages[i] & IMAGE_BYTES ? 1 : 0;
	}
	img->n_pages = n;
	*ret_recorded = recorded;
	return 0;
}

int image_open(const void *bytes, size_t len, struct image *ret)
{
	_cleanup_(image_close) struct image img = { .n_notes = 0 };
	const unsigned char *p = bytes;
	struct image_header h;
	size_t recorded, left;
	int r;

	if (len < sizeof(h))
		return -EBADMSG;
	memcpy(&h, p, sizeof(h));
	p += sizeof(h);
	left = len - sizeof(h);
	if (h.magic != IMAGE_MAGIC || h.notes > IMAGE_NOTES_MAX || h.pages > IMAGE_PAGES_MAX ||
	    h.text_len > IMAGE_TEXT_MAX)
		return -EBADMSG;
	if (left < h.notes * sizeof(struct image_note) + h.text_len + h.pages * sizeof(uint64_t))
		return -EBADMSG;
	img.notes = p;
	img.n_notes = h.notes;
	p += h.notes * sizeof(struct image_note);
	r = image_maps((const char *)p, h.text_len, &img.maps);
	if (r < 0)
		return r;
	p += h.text_len;
	r = image_index(p, h.pages, &img, &recorded);
	if (r < 0)
		return r;
	p += h.pages * sizeof(uint64_t);
	if ((size_t)((const unsigned char *)bytes + len - p) < recorded * REMOTE_PAGE)
		return -EBADMSG;
	img.bytes = p;
	*ret = img;
	img = (struct image){ .n_notes = 0 };
	return 0;
}

void image_close(struct image *img)
{
	maps_done(&img->maps);
	free(img->pages);
	free(img->slots);
	*img = (struct image){ .n_notes = 0 };
}

int image_note(const struct image *img, const char *name, size_t n, uint64_t *ret)
{
	for (size_t i = 0; i < img->n_notes; i++) {
		struct image_note note;

		memcpy(&note, img->notes + i * sizeof(note), sizeof(note));
		if (strncmp(note.name, name, sizeof(note.name)) != 0 || n--)
			continue;
		*ret = note.value;
		return 0;
	}
	return -ENOENT;
}

/* The first page that is not below @addr. */
static size_t image_find(const struct image *img, uint64_t addr)
{
	size_t lo = 0, hi = img->n_pages;

	while (lo < hi) {
		size_t mid = lo + (hi - lo) / 2;

		if (PAGE_ADDR(img->pages[mid]) < addr)
			lo = mid + 1;
		else
			hi = mid;
	}
	return lo;
}

static int image_read(void *ctx, uint64_t addr, void *buf, size_t len)
{
	const struct image *img = ctx;
	unsigned char *to = buf;

	if (addr > UINT64_MAX - len)
		return -EFAULT;
	for (size_t i = image_find(img, PAGE_ADDR(addr)); len; i++) {
		uint64_t off = addr % REMOTE_PAGE;
		size_t some = MIN(len, (size_t)(REMOTE_PAGE - off));

		if (i >= img->n_pages || PAGE_ADDR(img->pages[i]) != addr - off || !(img->pages[i] & IMAGE_BYTES))
			return -EFAULT;
		memcpy(to, img->bytes + img->slots[i] * REMOTE_PAGE + off, some);
		to += some;
		addr += some;
		len -= some;
	}
	return 0;
}

static int image_flags(void *ctx, uint64_t addr, size_t n, uint8_t *ret)
{
	const struct image *img = ctx;
	size_t at = image_find(img, addr);

	for (size_t i = 0; i < n; i++, addr += REMOTE_PAGE) {
		bool known = at < img->n_pages && PAGE_ADDR(img->pages[at]) == addr;

		ret[i] = known ? PAGE_FLAGS(img->pages[at]) : 0;
		at += known;
	}
	return 0;
}

void image_remote(struct image *img, uint64_t max_reads, uint64_t max_bytes, struct remote *ret)
{
	*ret = (struct remote){
		.read = image_read,
		.pages = image_flags,
		.ctx = img,
		.reads_left = max_reads,
		.bytes_left = max_bytes,
	};
}

/* ---- the recorder ---- */

#define RECORD_BATCH 64

static int record_put(FILE *out, const void *p, size_t len)
{
	return !len || fwrite(p, len, 1, out) == 1 ? 0 : -EIO;
}

/* Each page of @parts that is anywhere: its entry, or its bytes when it has any (@bytes). */
static int record_pages(struct remote *mem, const struct image_part *parts, size_t n_parts, bool bytes, FILE *out,
			uint32_t *ret_pages)
{
	unsigned char page[REMOTE_PAGE];
	uint8_t flags[RECORD_BATCH];

	for (size_t i = 0; i < n_parts; i++) {
		for (uint64_t at = parts[i].lo; at < parts[i].hi; at += RECORD_BATCH * REMOTE_PAGE) {
			size_t n = MIN((parts[i].hi - at) / REMOTE_PAGE, (uint64_t)RECORD_BATCH);
			int r = remote_pages(mem, at, n, flags);

			for (size_t k = 0; r == 0 && k < n; k++) {
				uint64_t entry = (at + k * REMOTE_PAGE) | flags[k];
				bool has = (flags[k] & REMOTE_PRESENT) &&
					   remote_read(mem, at + k * REMOTE_PAGE, page, sizeof(page)) == 0;

				entry |= has ? IMAGE_BYTES : 0;
				if (!flags[k] || (bytes && !has))
					continue;
				r = bytes ? record_put(out, page, sizeof(page)) :
					    record_put(out, &entry, sizeof(entry));
				(*ret_pages)++;
			}
			if (r < 0)
				return r;
		}
	}
	return 0;
}

int image_record(struct remote *mem, const struct image_part *parts, size_t n_parts, const struct image_note *notes,
		 size_t n_notes, const char *maps_text, FILE *out)
{
	struct image_header h = {
		.magic = IMAGE_MAGIC,
		.notes = (uint32_t)n_notes,
		.text_len = (uint32_t)strlen(maps_text),
	};
	uint32_t recorded = 0;
	long start = ftell(out);
	int r;

	if (start < 0)
		return -errno;
	r = record_put(out, &h, sizeof(h));
	if (r == 0)
		r = record_put(out, notes, n_notes * sizeof(*notes));
	if (r == 0)
		r = record_put(out, maps_text, h.text_len);
	if (r == 0)
		r = record_pages(mem, parts, n_parts, false, out, &h.pages);
	if (r == 0)
		r = record_pages(mem, parts, n_parts, true, out, &recorded);
	if (r < 0)
		return r;
	if (fseek(out, start, SEEK_SET) < 0)
		return -errno;
	r = record_put(out, &h, sizeof(h));
	return r == 0 && fseek(out, 0, SEEK_END) < 0 ? -errno : r;
}

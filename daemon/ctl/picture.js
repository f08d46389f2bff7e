/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Draws the maps of a picture from its data, and says what is under the pointer. Texts go in as text only. */
"use strict";
(() => {
	const MIB = 1048576, GAP = 3, AREA = 16e6, HEIGHT = 620;
	const SIZES = [1, 2, 3, 4, 5, 6, 8, 10, 12, 16, 20, 24, 32];
	const GLIBC = 1, MMAPPED = 2, PYTHON = 3;
	const FIELDS = ["used", "cached", "free", "shared", "gone", "overhead", "live", "resident", "swapped", "unknown"];
	const dark = matchMedia("(prefers-color-scheme: dark)");
	const lens = document.getElementById("lens");
	const pictures = JSON.parse(document.getElementById("data").textContent);
	const maps = [];

	function size(n) {
		const units = ["B", "KiB", "MiB", "GiB", "TiB"];
		let i = 0;

		for (; n >= 1024 && i < 4; i++)
			n /= 1024;
		return (i ? n.toFixed(1) : n) + units[i];
	}

	function counted(n, what) {
		return n.toLocaleString("en") + " " + what + (n === 1 ? "" : "s");
	}

	/* See cell_write() in picture-html.c. */
	function decode(picture) {
		const cells = [];
		let last = { at: 0, owner: 0, arena: 0 };

		for (const text of picture.cells.split(";").slice(0, -1)) {
			const v = text.split(",").map(s => s ? parseInt(s, 36) : 0);
			const cell = { at: last.at + v[0] * picture.cell_size };

			cell.owner = v[1] || last.owner;
			cell.arena = v[2] ? v[2] - 1 : last.arena;
			FIELDS.forEach((name, i) => { cell[name] = v[i + 3] || 0; });
			cell.resident = picture.cell_size - cell.resident;
			cells.push(cell);
			last = cell;
		}
		return cells;
	}

	function add(sum, cell) {
		for (const name of FIELDS)
			sum[name] = (sum[name] || 0) + cell[name];
		return sum;
	}

	/* Frames of one size, in the order of addresses. */
	function tiles_of(cells, bytes) {
		const tiles = [];

		for (const cell of cells) {
			const at = Math.floor(cell.at / bytes) * bytes;

			if (!tiles.length || tiles[tiles.length - 1].at !== at)
				tiles.push({ at, cells: [], sum: {} });
			tiles[tiles.length - 1].cells.push(cell);
			add(tiles[tiles.length - 1].sum, cell);
		}
		return tiles;
	}

	function arenas_of(cells) {
		const arenas = new Map();

		for (const cell of cells) {
			if (!arenas.has(cell.arena))
				arenas.set(cell.arena, {});
			add(arenas.get(cell.arena), cell);
		}
		return arenas;
	}

	function idle_at(picture, at) {
		const found = picture.idle.find(r => at >= r[0] && at < r[1]);

		return found ? found[2] : null;
	}

	/* Most of what isn't in use, as the ground; what is in use as a square on it, by its share. */
	function draw_cell(c, map, cell, x, y, px) {
		const colors = map.colors, whole = map.cell_size;
		const ground = ["gone", "shared", "cached", "free"].reduce((a, b) => cell[b] > (cell[a] || 0) ? b : a);
		const share = (cell.used + cell.overhead) / whole;
		let side;

		c.fillStyle = cell.unknown > cell[ground] ? colors.other : cell[ground] ? colors[ground] : colors.used;
		c.fillRect(x, y, px, px);
		if (!cell.used || share > .97 || c.fillStyle === colors.used)
			return;
		side = Math.max(px * Math.sqrt(share), Math.min(px * .5, 4), 1);
		c.fillStyle = colors.used;
		c.fillRect(x + (px - side) / 2, y + (px - side) / 2, side, side);
	}

	function draw_idle(c, map, cell, x, y, px) {
		const idle = idle_at(map.picture, cell.at);

		if (idle === null || !cell.used)
			return;
		c.globalAlpha = idle / 100 * .65;
		c.fillStyle = map.colors.page;
		c.fillRect(x, y, px, px);
		c.globalAlpha = 1;
	}

	function draw_tile(c, map, tile, x, y, px) {
		for (const cell of tile.cells) {
			const n = (cell.at - tile.at) / map.cell_size;
			const cx = x + n % map.columns * px, cy = y + Math.floor(n / map.columns) * px;

			draw_cell(c, map, cell, cx, cy, px);
			draw_idle(c, map, cell, cx, cy, px);
		}
	}

	function layout(map, px) {
		const width = Math.max(map.scroll.clientWidth - 2, 200);
		const w = map.columns * px + GAP, h = map.lines * px + GAP;
		const across = Math.max(1, Math.floor((width + GAP) / w));

		return { px, w, h, across, width: Math.min(across, map.tiles.length) * w,
			 height: Math.ceil(map.tiles.length / across) * h };
	}

	function draw(map) {
		const style = getComputedStyle(document.documentElement), l = layout(map, map.px);
		const c = map.canvas.getContext("2d");

		map.colors = {};
		for (const name of ["page", "used", "shared", "cached", "free", "gone", "other", "ink"])
			map.colors[name] = style.getPropertyValue("--" + name).trim();
		map.layout = l;
		map.canvas.width = l.width;
		map.canvas.height = l.height;
		map.tiles.forEach((tile, i) =>
			draw_tile(c, map, tile, i % l.across * l.w, Math.floor(i / l.across) * l.h, map.px));
	}

	function zoom(map, step) {
		const i = SIZES.indexOf(map.px) + step, l = i >= 0 && i < SIZES.length && layout(map, SIZES[i]);

		if (!l || l.width * l.height > AREA)
			return;
		map.px = SIZES[i];
		draw(map);
	}

	/* ---- what is under the pointer ---- */

	function parts_text(sum) {
		const words = [[sum.used, "in use"], [sum.free, "free and still held"], [sum.cached, "cached"],
			       [sum.shared, "free beside data"], [sum.gone, "free and given back"],
			       [sum.swapped, "swapped out"], [sum.unknown, "unknown"]];

		return words.filter(w => w[0]).map(w => size(w[0]) + " " + w[1]).join(", ");
	}

	function arena_text(map, tile, cell) {
		const free = s => s.free + s.cached + s.shared, glibc = map.picture.arenas[cell.arena];
		let sum = tile.sum, name = size(map.tile_bytes) + " of addresses";

		if (map.owner === PYTHON && map.cell_size <= map.picture.arena_size) {
			sum = map.arenas.get(cell.arena);
			name = "Arena " + cell.arena + " of Python";
		} else if (map.owner === GLIBC && glibc) {
			name += glibc[2] ? ", main heap" : ", heap of arena " + cell.arena +
				" (" + counted(glibc[1], "thread") + ")";
		}
		if (sum.live && free(sum) > sum.used)
			return name + ": " + counted(sum.live, "live block") + ", " + size(sum.used) + " in all, " +
				(sum.live === 1 ? "keeps " : "keep ") + size(free(sum)) + " that is free.";
		return name + ": " + parts_text(sum) + ".";
	}

	function cell_text(map, cell) {
		const idle = idle_at(map.picture, cell.at);

		return "0x" + cell.at.toString(16) + ", " + size(map.cell_size) + ": " + parts_text(cell) +
			(cell.live ? "; " + counted(cell.live, "live block") : "") +
			(idle === null ? "" : "; " + idle + " % of it idle for a minute");
	}

	function show(map, tile, cell, x, y) {
		const canvas = lens.firstChild, px = Math.max(4, Math.floor(256 / Math.max(map.columns, map.lines)));
		const c = canvas.getContext("2d"), n = (cell.at - tile.at) / map.cell_size;

		canvas.width = map.columns * px;
		canvas.height = map.lines * px;
		draw_tile(c, map, tile, 0, 0, px);
		c.strokeStyle = map.colors.ink;
		c.lineWidth = 2;
		c.strokeRect(n % map.columns * px + 1, Math.floor(n / map.columns) * px + 1, px - 2, px - 2);
		lens.lastChild.replaceChildren(...[arena_text(map, tile, cell), cell_text(map, cell)].map(text => {
			const p = document.createElement("p");

			p.textContent = text;
			return p;
		}));
		lens.hidden = false;
		lens.style.left = Math.max(0, x + 20 + lens.offsetWidth > innerWidth ? x - 20 - lens.offsetWidth : x + 20) + "px";
		lens.style.top = Math.max(0, Math.min(y + 12, innerHeight - lens.offsetHeight - 8)) + "px";
	}

	function under(map, x, y) {
		const l = map.layout, tile = map.tiles[Math.floor(y / l.h) * l.across + Math.floor(x / l.w)];
		const n = Math.floor(y % l.h / l.px) * map.columns + Math.floor(x % l.w / l.px);

		if (!tile || x >= l.width || x % l.w >= map.columns * l.px)
			return null;
		return { tile, cell: tile.cells.find(c => c.at === tile.at + n * map.cell_size) };
	}

	function hover(map, event) {
		const found = under(map, event.offsetX, event.offsetY);

		if (found && found.cell)
			show(map, found.tile, found.cell, event.clientX, event.clientY);
		else
			lens.hidden = true;
	}

	/* With the keyboard: from square to square. */
	function walk(map, event) {
		const step = { ArrowRight: 1, ArrowLeft: -1, ArrowDown: map.columns, ArrowUp: -map.columns }[event.key];
		const cell = map.cells[map.at = Math.min(Math.max((map.at || 0) + (step || 0), 0), map.cells.length - 1)];
		const i = map.tiles.findIndex(t => t.cells.includes(cell)), box = map.canvas.getBoundingClientRect();

		if (event.key === "Escape")
			lens.hidden = true;
		if (!step)
			return;
		event.preventDefault();
		show(map, map.tiles[i], cell, box.left + i % map.layout.across * map.layout.w,
		     box.top + Math.floor(i / map.layout.across) * map.layout.h);
	}

	/* ---- setting up ---- */

	function element(parent, name, text, label) {
		const e = parent.appendChild(document.createElement(name));

		e.textContent = text;
		if (label)
			e.setAttribute("aria-label", label);
		return e;
	}

	function build(map) {
		const arena = map.owner === PYTHON && map.picture.arena_size === map.tile_bytes ? "an arena, " : "";
		const pool = arena && map.picture.pool_size === map.cell_size ? "a pool, " : "";
		const head = element(map.div, "header", "");

		element(head, "span", "Each frame is " + arena + size(map.tile_bytes) + ", each square " + pool +
			size(map.cell_size) + ". Blue: data. Point at it for more.");
		element(head, "button", "\u2212", "smaller").onclick = () => zoom(map, -1);
		element(head, "button", "+", "larger").onclick = () => zoom(map, 1);
		map.scroll = element(map.div, "div", "");
		map.scroll.className = "scroll";
		map.canvas = element(map.scroll, "canvas", "", "map: " + parts_text(map.sum));
		map.canvas.tabIndex = 0;
		map.canvas.setAttribute("role", "img");
		map.canvas.onmousemove = event => hover(map, event);
		map.canvas.onmouseleave = map.canvas.onblur = () => { lens.hidden = true; };
		map.canvas.onkeydown = event => walk(map, event);
		map.canvas.onwheel = event => {
			if (!event.ctrlKey)
				return;
			event.preventDefault();
			zoom(map, event.deltaY < 0 ? 1 : -1);
		};
		map.px = SIZES.filter(px => layout(map, px).height <= HEIGHT).pop() || 1;
		map.px = Math.min(map.px, 16);
	}

	pictures.forEach(picture => { picture.all = decode(picture); });
	for (const div of document.querySelectorAll(".map")) {
		const picture = pictures[div.dataset.picture], owner = Number(div.dataset.owner);
		const map = { div, picture, owner, cell_size: picture.cell_size };

		map.cells = picture.all.filter(c => c.owner === owner);
		map.tile_bytes = Math.max(MIB, map.cell_size * 16);
		map.columns = 2 ** Math.ceil(Math.log2(map.tile_bytes / map.cell_size) / 2);
		map.lines = map.tile_bytes / map.cell_size / map.columns;
		map.tiles = tiles_of(map.cells, map.tile_bytes);
		map.arenas = arenas_of(map.cells);
		map.sum = map.cells.reduce(add, {});
		for (const name of FIELDS)
			div.dataset[name] = map.sum[name];
		div.dataset.cells = map.cells.length;
		build(map);
		draw(map);
		maps.push(map);
	}
	dark.onchange = () => maps.forEach(draw);
	onresize = () => maps.forEach(draw);
})();

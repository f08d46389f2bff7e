/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Says what a plot shows under the pointer, or where the arrow keys have moved to. Texts go in as text only. */
"use strict";
(() => {
	const SVG = "http://www.w3.org/2000/svg";
	const data = JSON.parse(document.getElementById("data").textContent);
	const lens = document.getElementById("lens");

	function size(n) {
		const units = ["B", "KiB", "MiB", "GiB", "TiB"];
		let i = 0;

		for (; n >= 1024 && i < 4; i++)
			n /= 1024;
		return (i ? n.toFixed(1) : n) + units[i];
	}

	function time(us) {
		const s = us / 1e6, part = (n, unit) => n ? n + unit + " " : "";

		if (s < 60)
			return (s < 10 ? s.toFixed(1) : Math.floor(s)) + "s";
		return (part(Math.floor(s / 86400), "d") + part(Math.floor(s / 3600) % 24, "h") +
			part(Math.floor(s / 60) % 60, "min") + part(Math.floor(s) % 60, "s")).trim();
	}

	/* The last one that isn't after @at, or the first. */
	function index_at(points, at) {
		let low = 0, high = points.length;

		while (high - low > 1) {
			const middle = (low + high) >> 1;

			if (points[middle][0] <= at)
				low = middle;
			else
				high = middle;
		}
		return low;
	}

	function line(text, layer) {
		const p = document.createElement("div");

		if (layer) {
			const box = document.createElementNS(SVG, "svg"), rect = document.createElementNS(SVG, "rect");

			for (const name of ["width", "height"]) {
				box.setAttribute(name, "13");
				rect.setAttribute(name, "13");
			}
			rect.setAttribute("class", layer.part + " shade" + layer.shade);
			box.append(rect);
			p.append(box, " ");
		}
		p.append(text);
		return p;
	}

	function tell(target, at) {
		const counted = target.counted[index_at(target.counted, at)];
		const point = target.points[index_at(target.points, at)];
		const lines = [line(time(at) + ": resident " + size(counted ? counted[1] : point[1]))];

		for (let i = data.layers.length - 1; i >= 0; i--)
			if (point[i + 2])
				lines.push(line(size(point[i + 2]) + " " + data.layers[i].name, data.layers[i]));
		lens.replaceChildren(...lines);
		lens.hidden = false;
	}

	function place(x, y) {
		const box = lens.getBoundingClientRect();

		lens.style.left = Math.max(0, x + 18 + box.width > innerWidth ? x - 18 - box.width : x + 18) + "px";
		lens.style.top = Math.max(0, Math.min(y + 12, innerHeight - box.height)) + "px";
	}

	for (const svg of document.querySelectorAll("svg.over-time")) {
		const target = data.targets[Number(svg.dataset.target)];
		const cursor = document.createElementNS(SVG, "path");
		let at = 0;

		if (!target.points.length)
			continue;
		cursor.setAttribute("class", "cursor");
		svg.append(cursor);

		function show(us) {
			const box = svg.getBoundingClientRect();
			const x = data.left + us / Math.max(data.length_us, 1) * (data.right - data.left);

			at = us;
			cursor.setAttribute("d", "M" + x.toFixed(1) + " 22v" + data.height);
			tell(target, us);
			place(box.left + x * box.width / svg.viewBox.baseVal.width, box.top + 40);
		}

		function hide() {
			lens.hidden = true;
			cursor.removeAttribute("d");
		}

		svg.addEventListener("mousemove", event => {
			const box = svg.getBoundingClientRect();
			const x = (event.clientX - box.left) * svg.viewBox.baseVal.width / box.width;
			const part = (x - data.left) / (data.right - data.left);

			if (part < 0 || part > 1)
				hide();
			else
				show(part * data.length_us);
		});
		svg.addEventListener("mouseleave", hide);
		svg.addEventListener("blur", hide);
		svg.addEventListener("keydown", event => {
			const i = index_at(target.points, at);

			if (event.key === "Escape") {
				hide();
				return;
			}
			if (event.key !== "ArrowLeft" && event.key !== "ArrowRight")
				return;
			event.preventDefault();
			if (lens.hidden)
				show(target.points[i][0]);
			else
				show(target.points[Math.max(0, Math.min(i + (event.key === "ArrowLeft" ? -1 : 1),
									target.points.length - 1))][0]);
		});
	}
})();

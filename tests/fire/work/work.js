// SPDX-License-Identifier: GPL-2.0-or-later
// asking.py has the same in Python, rows(). Answers carry a buffer of C's heap along, too.
"use strict";
const crypto = require("crypto");
const zlib = require("zlib");

function rows(n)
{
	let x = n + 1;
	const table = new Map();

	for (let i = 0; i < 2000; i++) {
		x = (x * 69069 + 1) % 2147483648;
		table.set("k" + x, ("v" + x).repeat(1 + i % 5));
	}
	const kept = [...table.keys()].filter((_, i) => i % 2 === 0).sort();
	const text = Buffer.from(kept.map((k) => k + "=" + table.get(k)).join("\n"));
	const back = zlib.inflateSync(zlib.deflateSync(text));
	if (!back.equals(text))
		throw new Error("inflated, it is another");
	return crypto.createHash("md5").update(back).digest("hex");
}

require("readline").createInterface({ input: process.stdin }).on("line", (line) => {
	process.stdout.write(line + " " + rows(Number(line)) + "\n");
});

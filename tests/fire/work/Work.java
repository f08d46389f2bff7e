// SPDX-License-Identifier: GPL-2.0-or-later
// asking.py has the same in Python, rows(). Direct buffers and Deflater are of C's heap.

import java.io.BufferedReader;
import java.io.ByteArrayOutputStream;
import java.io.InputStreamReader;
import java.nio.ByteBuffer;
import java.nio.charset.StandardCharsets;
import java.security.MessageDigest;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.Collections;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.zip.Deflater;
import java.util.zip.Inflater;

public class Work {
	static byte[] thereAndBack(byte[] text) throws Exception {
		ByteBuffer direct = ByteBuffer.allocateDirect(2 * text.length + 1024);
		Deflater deflater = new Deflater();
		deflater.setInput(text);
		deflater.finish();
		while (!deflater.finished())
			deflater.deflate(direct);
		deflater.end();
		direct.flip();
		byte[] back = new byte[text.length];
		Inflater inflater = new Inflater();
		inflater.setInput(direct);
		for (int at = 0; at < back.length; )
			at += inflater.inflate(back, at, back.length - at);
		inflater.end();
		if (!Arrays.equals(back, text))
			throw new IllegalStateException("inflated, it is another");
		return back;
	}

	static String rows(long n) throws Exception {
		long x = n + 1;
		Map<String, String> table = new LinkedHashMap<>();

		for (int i = 0; i < 2000; i++) {
			x = (x * 69069 + 1) % 2147483648L;
			table.put("k" + x, ("v" + x).repeat(1 + i % 5));
		}
		List<String> kept = new ArrayList<>();
		int i = 0;
		for (String key : table.keySet())
			if (i++ % 2 == 0)
				kept.add(key);
		Collections.sort(kept);
		StringBuilder text = new StringBuilder();
		for (String key : kept)
			text.append(text.length() > 0 ? "\n" : "").append(key).append("=").append(table.get(key));
		byte[] back = thereAndBack(text.toString().getBytes(StandardCharsets.UTF_8));
		StringBuilder hex = new StringBuilder();
		for (byte b : MessageDigest.getInstance("MD5").digest(back))
			hex.append(String.format("%02x", b));
		return hex.toString();
	}

	public static void main(String[] args) throws Exception {
		BufferedReader in = new BufferedReader(new InputStreamReader(System.in));
		for (String line; (line = in.readLine()) != null; ) {
			System.out.print(line + " " + rows(Long.parseLong(line)) + "\n");
			System.out.flush();
		}
	}
}

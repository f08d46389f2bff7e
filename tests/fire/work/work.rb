# SPDX-License-Identifier: GPL-2.0-or-later
# asking.py has the same in Python, rows().
require "digest"

def rows(n)
  x = n + 1
  table = {}
  2000.times do |i|
    x = (x * 69069 + 1) % 2147483648
    table["k#{x}"] = "v#{x}" * (1 + i % 5)
  end
  kept = table.keys.each_slice(2).map(&:first).sort
  Digest::MD5.hexdigest(kept.map { |k| "#{k}=#{table[k]}" }.join("\n"))
end

$stdout.sync = true
$stdin.each_line { |line| puts "#{line.chomp} #{rows(line.to_i)}" }

# SPDX-License-Identifier: GPL-2.0-or-later
# asking.py has the same in Python, rows(). Of Perl's hashes the order isn't that of their making.
use strict;
use warnings;
use Digest::MD5 qw(md5_hex);

sub rows {
	my ($n) = @_;
	my ($x, %table, @keys) = ($n + 1);

	for my $i (0 .. 1999) {
		$x = ($x * 69069 + 1) % 2147483648;
		push @keys, "k$x" unless exists $table{"k$x"};
		$table{"k$x"} = "v$x" x (1 + $i % 5);
	}
	my @kept = sort map { $keys[2 * $_] } 0 .. $#keys / 2;
	delete @table{map { $keys[2 * $_ + 1] } 0 .. ($#keys - 1) / 2};
	return md5_hex(join "\n", map { "$_=$table{$_}" } @kept);
}

$| = 1;
while (my $line = <STDIN>) {
	chomp $line;
	print "$line ", rows($line), "\n";
}

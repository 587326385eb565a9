package main

import "context"

// mysql returns a folder with the program mysqld.
func mysql(ctx context.Context, cache string) (string, error) {
	return unpack(ctx, cache, "mysql", "mysql-server-core", launcher{
		"usr/sbin/mysqld", ` --lc-messages-dir="$root/usr/share/mysql" --character-sets-dir="$root/usr/share/mysql/charsets" --plugin-dir="$root/usr/lib/mysql/plugin"`,
	})
}

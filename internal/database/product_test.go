package database_test

import (
	"context"
	"strings"
	"testing"

	"roster/internal/database"
	"roster/internal/dbtest"
)

// TestPostgresProducts reads the texts of version() of many servers.
func TestPostgresProducts(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		version       string
		citus, aurora bool
		want          string
		known         bool
	}{
		{version: "PostgreSQL 15.14 (Debian 15.14-0+deb12u1) on x86_64-pc-linux-gnu, compiled by gcc (Debian 12.2.0-14+deb12u1) 12.2.0, 64-bit", want: "PostgreSQL 15.14", known: true},
		{version: "PostgreSQL 16.4 (Debian 16.4-1.pgdg120+1) on aarch64-unknown-linux-gnu, compiled by gcc (Debian 12.2.0-14) 12.2.0, 64-bit", want: "PostgreSQL 16.4", known: true},
		{version: "PostgreSQL 14.9 (Ubuntu 14.9-0ubuntu0.22.04.1) on x86_64-pc-linux-gnu, compiled by gcc (Ubuntu 11.4.0-1ubuntu1~22.04) 11.4.0, 64-bit", want: "PostgreSQL 14.9", known: true},
		{version: "PostgreSQL 18.4 on x86_64-pc-linux-gnu, compiled by gcc (Debian 6.3.0-18+deb9u1) 6.3.0 20170516, 64-bit", want: "PostgreSQL 18.4", known: true},
		{version: "PostgreSQL 15.4 (Homebrew) on aarch64-apple-darwin22.4.0, compiled by Apple clang version 14.0.3, 64-bit", want: "PostgreSQL 15.4", known: true},
		{version: "PostgreSQL 15.3 (Postgres.app) on aarch64-apple-darwin21.6.0, compiled by Apple clang version 14.0.0 (clang-1400.0.29.102), 64-bit", want: "PostgreSQL 15.3", known: true},
		{version: "PostgreSQL 16.1, compiled by Visual C++ build 1937, 64-bit", want: "PostgreSQL 16.1", known: true},
		{version: "PostgreSQL 19beta1 on x86_64-pc-linux-gnu, compiled by gcc 15.1.0, 64-bit", want: "PostgreSQL 19beta1", known: true},
		{version: "PostgreSQL 17.2 - Percona Server for PostgreSQL 17.2.1 on x86_64-pc-linux-gnu, compiled by gcc (GCC) 11.5.0, 64-bit", want: "PostgreSQL 17.2", known: true},
		{version: "PostgreSQL 15.5 on x86_64-pc-linux-gnu, compiled by Debian clang version 12.0.1, 64-bit", want: "PostgreSQL 15.5", known: true}, // Google Cloud SQL
		{version: "PostgreSQL 13.0 on x86_64-pc-linux-musl, compiled by gcc (Alpine 9.3.0) 9.3.0, 64-bit", want: "PostgreSQL 13.0", known: true},

		{version: "PostgreSQL 12.22 on x86_64-pc-linux-gnu, compiled by gcc (GCC) 7.3.1, 64-bit", want: "PostgreSQL 12.22: Roster needs at least 13", known: true},
		{version: "PostgreSQL 9.6.24 on x86_64-pc-linux-gnu, compiled by gcc (Debian 10.2.1-6) 10.2.1 20210110, 64-bit", want: "PostgreSQL 9.6.24: Roster needs at least 13", known: true},

		{version: "CockroachDB CCL v23.1.11 (x86_64-pc-linux-gnu, built 2023/09/27 01:53:43, go1.19.10)", want: "CockroachDB"},
		{version: "PostgreSQL 11.2-YB-2.20.1.0-b0 on x86_64-pc-linux-gnu, compiled by clang version 16.0.6, 64-bit", want: "YugabyteDB"},
		{version: "PostgreSQL 15.12-YB-2025.2.3.0-b1 on x86_64-pc-linux-gnu, compiled by clang version 17.0.6, 64-bit", want: "YugabyteDB"},
		{version: "PostgreSQL 15.4 on x86_64-pc-linux-gnu, compiled by x86_64-pc-linux-gnu-gcc (GCC) 9.5.0, 64-bit", aurora: true, want: "Amazon Aurora PostgreSQL"},
		{version: "PostgreSQL 16.6 (Ubuntu 16.6-1.pgdg22.04+1) on x86_64-pc-linux-gnu, compiled by gcc (Ubuntu 11.4.0) 11.4.0, 64-bit", citus: true, want: "Citus"},
		{version: "PostgreSQL 8.0.2 on i686-pc-linux-gnu, compiled by GCC gcc (GCC) 3.4.2 20041017 (Red Hat 3.4.2-6.fc3), Redshift 1.0.12103", want: "Redshift"},
		{version: "PostgreSQL 12.12 (Greenplum Database 7.0.0 build commit:0a7a3566873325aca1789ae6f818c80f17a9402d) on x86_64-pc-linux-gnu, compiled by gcc, 64-bit", want: "Greenplum"},
		{version: "PostgreSQL 15.4 (EnterpriseDB Advanced Server 15.4.0) on x86_64-pc-linux-gnu, compiled by gcc (GCC) 8.5.0, 64-bit", want: "EnterpriseDB"},
		{version: "PostgreSQL 13.14.0-RisingWave-1.10.0 (63e7ac2)", want: "RisingWave"},
		{version: "PostgreSQL 11.9 (POLARDB 11.9) on x86_64-pc-linux-gnu, compiled by gcc, 64-bit", want: "PolarDB"},
		{version: "PostgreSQL 16.2 (NewFork 3.1) on x86_64-pc-linux-gnu, compiled by gcc, 64-bit", want: "an unknown product"},
		{version: "PostgreSQL 16.2 (NewFork 16.20) on x86_64-pc-linux-gnu, compiled by gcc, 64-bit", want: "an unknown product"},
		{version: "", want: "an unknown product"},
	} {
		wantProduct(t, c.version, database.PostgresProduct(c.version, c.citus, c.aurora), c.want, c.known)
	}
}

// TestMySQLProducts reads the texts of VERSION() and @@version_comment of many servers.
func TestMySQLProducts(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		version, comment string
		aurora           bool
		want             string
		known            bool
	}{
		{version: "10.11.14-MariaDB-0+deb12u2", comment: "Debian 12", want: "MariaDB 10.11.14", known: true},
		{version: "11.4.2-MariaDB-ubu2404-log", comment: "mariadb.org binary distribution", want: "MariaDB 11.4.2", known: true},
		{version: "10.6.16-MariaDB-log", comment: "managed by https://aws.amazon.com/rds/", want: "MariaDB 10.6.16", known: true},
		{version: "10.6.17-13-MariaDB-enterprise-log", comment: "MariaDB Enterprise Server", want: "MariaDB 10.6.17", known: true},
		{version: "9.7.4-2", comment: "(Debian)", want: "MySQL 9.7.4", known: true},
		{version: "8.0.39-0ubuntu0.22.04.1", comment: "(Ubuntu)", want: "MySQL 8.0.39", known: true},
		{version: "8.4.3", comment: "MySQL Community Server - GPL", want: "MySQL 8.4.3", known: true},
		{version: "8.0.36-commercial", comment: "MySQL Enterprise Server - Commercial", want: "MySQL 8.0.36", known: true},
		{version: "9.0.1-cloud", comment: "MySQL Enterprise - Cloud", want: "MySQL 9.0.1", known: true},
		{version: "8.0.35", comment: "Source distribution", want: "MySQL 8.0.35", known: true}, // Amazon RDS
		{version: "8.0.31-google", comment: "(Google)", want: "MySQL 8.0.31", known: true},
		{version: "8.0.35-27", comment: "Percona Server (GPL), Release 27, Revision 2f8eeab2", want: "Percona Server 8.0.35", known: true},

		{version: "10.11.9-MariaDB-log", comment: "Source distribution, wsrep_26.22", want: "MariaDB 10.11.9", known: true},

		{version: "10.5.23-MariaDB-0+deb11u1", comment: "Debian 11", want: "MariaDB 10.5.23: Roster needs at least 10.6", known: true},
		{version: "5.5.68-MariaDB", comment: "MariaDB Server", want: "MariaDB 5.5.68: Roster needs at least 10.6", known: true},
		{version: "5.7.44-log", comment: "MySQL Community Server (GPL)", want: "MySQL 5.7.44: Roster needs at least 8.0.11", known: true},
		{version: "8.0.4-rc-log", comment: "MySQL Community Server (GPL)", want: "MySQL 8.0.4: Roster needs at least 8.0.11", known: true},

		{version: "8.0.11-TiDB-v7.5.0", comment: "TiDB Server (Apache License 2.0) Community Edition, MySQL 8.0 compatible", want: "TiDB"},
		{version: "8.0.30-Vitess", comment: "MySQL Community Server - GPL", want: "Vitess"},
		{version: "5.7.9-vitess-14.0.0", comment: "Version: 14.0.0", want: "Vitess"},
		{version: "8.0.mysql_aurora.3.04.0", comment: "Source distribution", want: "Amazon Aurora MySQL"},
		{version: "8.0.28", comment: "Source distribution", aurora: true, want: "Amazon Aurora MySQL"},
		{version: "5.7.12-log", comment: "MySQL Community Server (GPL)", aurora: true, want: "Amazon Aurora MySQL"},
		{version: "5.7.25-OceanBase-v4.2.1.0", comment: "OceanBase 4.2.1.0", want: "OceanBase"},
		{version: "5.7.32", comment: "SingleStoreDB source distribution (compatible; MySQL Enterprise & MySQL Commercial)", want: "SingleStore"},
		{version: "8.0.35-27.1", comment: "Percona XtraDB Cluster (GPL), Release rel27, Revision 3430bf0, WSREP version 26.1.4.3", want: "Percona XtraDB Cluster"},
		{version: "8.0.37", comment: "MySQL Community Server - (GPL), wsrep_26.22", want: "MySQL with Galera"},
		{version: "5.7.44-log", comment: "MySQL Community Server (GPL), wsrep_25.36", want: "MySQL with Galera"},
		{version: "8.0.35-cluster", comment: "MySQL Cluster Community Server - GPL", want: "MySQL Cluster"},
		{version: "8.0.33", comment: "Dolt", want: "Dolt"},
		{version: "8.0.33", comment: "something else", want: "an unknown product"},
		{version: "", comment: "", want: "an unknown product"},
	} {
		wantProduct(t, c.version+" "+c.comment, database.MySQLProduct(c.version, c.comment, c.aurora), c.want, c.known)
	}
}

// wantProduct checks the start of the name and the version, or of the problem. An unknown product says which version it has.
func wantProduct(t *testing.T, of string, p database.Product, want string, known bool) {
	t.Helper()
	got, problem := p.String(), p.Problem()
	old := strings.Contains(want, ": ")
	if known && !old && (got != want || problem != "" || !p.Known) {
		t.Errorf("%s: got %s, with the problem %q, want %s without one", of, got, problem, want)
	}
	if (!known || old) && (!strings.HasPrefix(problem, "the server is "+want) || p.Known != known) {
		t.Errorf("%s: got known: %t, with the problem %q, want known: %t, and %s", of, p.Known, problem, known, want)
	}
	if !known && !strings.Contains(problem, p.Version) {
		t.Errorf("%s: got the problem %q, want the version in it", of, problem)
	}
}

// TestProduct asks the servers of the tests.
func TestProduct(t *testing.T) {
	t.Parallel()
	dbtest.Each(t, func(t *testing.T, e dbtest.Engine) {
		db := open(t, options(dbtest.Empty(t, e)))
		p, err := db.Product(t.Context())
		if err != nil || !p.Known || p.Problem() != "" || !strings.Contains(p.Version, ".") {
			t.Errorf("got %+v, %v, want a known product without a problem", p, err)
		}
		ended, cancel := context.WithCancel(t.Context())
		cancel()
		if _, err := db.Product(ended); database.AsFailure(err) == nil {
			t.Errorf("after the end of the context: got %v, want a Failure", err)
		}
	})
}

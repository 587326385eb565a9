package database

import (
	"cmp"
	"context"
	"database/sql"
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"
)

// A Product is the software of a database server, by what the server says about itself.
type Product struct {
	Name    string // such as PostgreSQL, or CockroachDB. Empty: the server does not name it
	Version string // such as 15.2; of an unknown product, the text in which it may be
	// Known says that Roster was made for the product, and is tested on it or on one of the same origin.
	Known bool
	// Needed is the lowest version of a known product that is enough for Roster, if this one is older. Otherwise it is empty.
	Needed string
}

// String returns the name and the version.
func (p Product) String() string {
	if p.Known {
		return p.Name + " " + p.Version
	}
	return fmt.Sprintf("%s, with the version %q", cmp.Or(p.Name, "an unknown product"), p.Version)
}

// Problem says why Roster may not work on the product. It is empty for known products with a version that is enough.
func (p Product) Problem() string {
	switch {
	case !p.Known:
		return fmt.Sprintf("the server is %v: Roster is not tested on it", p)
	case p.Needed != "":
		return fmt.Sprintf("the server is %v: Roster needs at least %s", p, p.Needed)
	}
	return ""
}

// The lowest versions whose SQL is enough, as docs/engines.md explains.
const (
	postgresNeeded = "13"
	mariaDBNeeded  = "10.6"
	mysqlNeeded    = "8.0.11"
)

// postgresTraits are what a PostgreSQL server says about itself.
type postgresTraits struct {
	version string // version()
	citus   bool   // it has the extension
	aurora  bool   // it has the function aurora_version
}

// postgresVersion is the text of PostgreSQL's version(). A distribution adds its name and the version of its package in
// parentheses, and Percona its name after a hyphen.
var postgresVersion = regexp.MustCompile(`^PostgreSQL (\d+(?:\.\d+){0,2}(?:beta\d+|rc\d+|devel)?)( \(Homebrew\)| \(Postgres\.app\)| \(\w+ [^)\s]+\)| - Percona [^,]*)?(?: on |, compiled by )`)

// product returns the product of a server that speaks the protocol of PostgreSQL.
func (t postgresTraits) product() Product {
	p := other(t.version, []string{
		"CockroachDB", "YugabyteDB=-YB-", "Greenplum", "Redshift", "EnterpriseDB", "openGauss", "RisingWave", "Materialize", "CrateDB", "PolarDB",
	})
	match := postgresVersion.FindStringSubmatch(t.version)
	switch {
	case p.Name != "":
	case match != nil && t.citus:
		p.Name = "Citus"
	case match != nil && t.aurora:
		p.Name = "Amazon Aurora PostgreSQL"
	case match != nil && isPackage(match[2], match[1]):
		return known("PostgreSQL", match[1], postgresNeeded)
	}
	return p
}

// isPackage reports whether the addition to a version of PostgreSQL is one of a distribution, such as
// " (Debian 15.2-1.pgdg110+1)". Other products that are made from PostgreSQL have versions of their own there.
func isPackage(addition, version string) bool {
	if !strings.HasPrefix(addition, " (") || addition == " (Homebrew)" || addition == " (Postgres.app)" {
		return true
	}
	_, of, _ := strings.Cut(strings.TrimSuffix(addition, ")"), " (")
	_, of, _ = strings.Cut(of, " ")
	rest, ok := strings.CutPrefix(of, version)
	return ok && rest != "" && strings.ContainsAny(rest[:1], "-~+")
}

// mysqlTraits are what a server of the MySQL family says about itself.
type mysqlTraits struct {
	version string // VERSION()
	comment string // @@version_comment
	aurora  bool   // it has the variable aurora_version
}

var (
	mariaDBVersion = regexp.MustCompile(`^(\d+\.\d+\.\d+)-(?:\d+-)?MariaDB\b`)
	mysqlVersion   = regexp.MustCompile(`^(\d+\.\d+\.\d+)`)
	// mysqlComment is how MySQL, the packages of distributions, and the services that run it name it.
	mysqlComment = regexp.MustCompile(`^(?:MySQL (?:Community|Enterprise)|Source distribution|Homebrew|(?:Gentoo|SUSE|openSUSE|FreeBSD|Arch)\b|\((?:Debian|Ubuntu|Raspbian|Google|Azure)\)$)`)
)

// product returns the product of a server that speaks the protocol of MySQL.
func (t mysqlTraits) product() Product {
	p := other(t.version+" "+t.comment, []string{
		"TiDB", "Vitess", "PlanetScale", "Amazon Aurora MySQL=mysql_aurora", "OceanBase", "SingleStore", "PolarDB", "PolarDB=TDDL", "Dolt", "StarRocks", "Doris",
		"Percona XtraDB Cluster", "MySQL Cluster",
	})
	if p.Name == "" && t.aurora {
		p.Name = "Amazon Aurora MySQL"
	}
	mariaDB, mysql := mariaDBVersion.FindStringSubmatch(t.version), mysqlVersion.FindStringSubmatch(t.version)
	switch {
	case p.Name != "":
	case mariaDB != nil:
		return known("MariaDB", mariaDB[1], mariaDBNeeded)
	case mysql != nil && strings.Contains(t.comment, "wsrep"): // on which Roster does not know that each node takes changes
		p.Name = "MySQL with Galera"
	case mysql != nil && strings.HasPrefix(t.comment, "Percona Server"):
		return known("Percona Server", mysql[1], mysqlNeeded)
	case mysql != nil && mysqlComment.MatchString(t.comment):
		return known("MySQL", mysql[1], mysqlNeeded)
	}
	return p
}

// other returns a product that Roster does not know, with its name if it is in the text. A name may have the part of the
// text that tells it, after =.
func other(text string, names []string) Product {
	p := Product{Version: text}
	for _, name := range names {
		name, part, ok := strings.Cut(name, "=")
		if !ok {
			part = name
		}
		if strings.Contains(strings.ToLower(text), strings.ToLower(part)) {
			p.Name = name
			break
		}
	}
	return p
}

// known returns a product that Roster knows.
func known(name, version, needed string) Product {
	p := Product{Name: name, Version: version, Known: true}
	if slices.Compare(numbers(version), numbers(needed)) < 0 {
		p.Needed = needed
	}
	return p
}

// numbers returns the numbers at the start of a version: 15 and 2 of 15.2.
func numbers(version string) (all []int) {
	for part := range strings.SplitSeq(version, ".") {
		end := strings.IndexFunc(part, func(c rune) bool { return c < '0' || c > '9' })
		if end < 0 {
			end = len(part)
		}
		n, err := strconv.Atoi(part[:end])
		if err != nil {
			return all
		}
		all = append(all, n)
	}
	return all
}

// identify implements engine.
func (*sqliteEngine) identify(ctx context.Context, db *sql.DB) (Product, error) {
	p := Product{Name: "SQLite", Known: true}
	return p, db.QueryRowContext(ctx, "SELECT sqlite_version()").Scan(&p.Version)
}

// identify implements engine.
func (*postgresEngine) identify(ctx context.Context, db *sql.DB) (Product, error) {
	var t postgresTraits
	if err := db.QueryRowContext(ctx, "SELECT version()").Scan(&t.version); err != nil {
		return Product{}, err
	}
	if postgresVersion.MatchString(t.version) { // others may lack these tables
		err := db.QueryRowContext(ctx, "SELECT EXISTS (SELECT 1 FROM pg_catalog.pg_extension WHERE extname = 'citus'), "+
			"EXISTS (SELECT 1 FROM pg_catalog.pg_proc WHERE proname = 'aurora_version')").Scan(&t.citus, &t.aurora)
		if err != nil {
			return Product{}, err
		}
	}
	return t.product(), nil
}

// identify implements engine.
func (*mysqlEngine) identify(ctx context.Context, db *sql.DB) (Product, error) {
	var t mysqlTraits
	if err := db.QueryRowContext(ctx, "SELECT VERSION(), @@version_comment").Scan(&t.version, &t.comment); err != nil {
		return Product{}, err
	}
	var name, value string
	switch err := db.QueryRowContext(ctx, "SHOW VARIABLES LIKE 'aurora_version'").Scan(&name, &value); err {
	case nil:
		t.aurora = true
	case sql.ErrNoRows:
	default:
		return Product{}, err
	}
	return t.product(), nil
}

//! Texts that parsers of fields know, and those that they are told of by mistake.

use multigres_operator::topology::records::{Cell, Database, Id, Multipooler};
use prost::Message;

use super::Entry;

fn entries<B: AsRef<[u8]>>(inputs: impl IntoIterator<Item = B>) -> Vec<Entry> {
    let named = |(number, input): (usize, B)| (format!("{number:02}"), input.as_ref().to_vec());
    inputs.into_iter().enumerate().map(named).collect()
}

const QUANTITIES: [&str; 16] = [
    "",
    "0",
    "+1",
    "-1",
    "500m",
    ".5",
    "5.",
    "1.5Gi",
    "1e3",
    "1E-3",
    "0.1n",
    "9223372036854775808",
    "100Ei",
    "1e400",
    "0e400",
    "1e-2147483648",
];
const ADDRESSES: [&str; 8] = [
    "etcd:2379",
    "a.example.com:1,b.example.com.:65535",
    "[2001:db8::1]:2379",
    "10.0.0.1:0",
    "http://etcd:2379",
    "[etcd](http://etcd):2379",
    "a:1,a:1",
    " a:1 , b:2",
];

pub fn quantities() -> Vec<Entry> {
    entries(QUANTITIES)
}

pub fn addresses() -> Vec<Entry> {
    entries(ADDRESSES)
}

pub fn paths() -> Vec<Entry> {
    entries([
        "",
        "spec",
        "spec.cells.templates[0].name",
        "metadata.labels[example.com/a]",
        "a[1][2]",
        "[",
        "a[",
        "]",
        "..",
        "a[[]",
        "[+5]",
        "[007]",
        "[99999999999999999999999]",
        "é[é].é",
    ])
}

/// In place of each text of the cluster, something that is odd there.
pub fn of_clusters() -> Vec<Entry> {
    let odd = [
        "",
        "é",
        "latest",
        "a/b:c@sha256:d",
        "localhost:5000/a",
        "/",
        "/a/../b",
        "-1",
        "1e400",
        "100Ei",
        "2026-02-30T25:00:00Z",
        "10.0.0.0/33",
        "a_b",
        "A",
        "http://u:p@h/",
        "\u{0}",
    ];
    let input = |which: usize| {
        [&[u8::try_from(which).unwrap_or_default()], odd[which % odd.len()].as_bytes()].concat()
    };
    entries((0..64).map(input))
}

pub fn records() -> Vec<Entry> {
    let cell = |address: &str| {
        let server_addresses = vec![address.to_owned()];
        Cell { name: "a".to_owned(), server_addresses, root: "/m/a".to_owned() }.encode_to_vec()
    };
    let database = Database { name: "d".to_owned(), cells: vec!["a".to_owned()], ..Database::default() };
    let id = Id { component: 1, cell: "a".to_owned(), name: "p-0".to_owned() };
    let pooler = Multipooler {
        id: Some(id),
        hostname: "p-0.s.ns.svc".to_owned(),
        port_map: [("grpc".to_owned(), 1)].into(),
        ..Multipooler::default()
    };
    let pair = |existing: &[u8], desired: &[u8]| {
        let at = u8::try_from(existing.len()).unwrap_or(u8::MAX);
        [&[at], existing, desired].concat()
    };
    entries([
        pair(&[], &[]),
        pair(&cell("a:1"), &cell("b:1")),
        pair(&cell("a:1"), &cell("a:1")),
        pair(&database.encode_to_vec(), &[]),
        pair(&pooler.encode_to_vec(), &database.encode_to_vec()),
        pair(b"\x12\x04\x0a\x02\x0a\x00\xf8\x01\x01", b"\x12\x02\x0a\x00"),
        pair(b"\xff\xff\xff", b"\x0a"),
        pair(&[0x0b; 40], &[]),
    ])
}

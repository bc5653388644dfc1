//! Which rows go where: every table goes as it is, column by column, but for those that
//! are named here. A column or a table that the other side does not have ends the move
//! before it begins.

use crate::store::StoreError;
use crate::store::marks::{MOVED, MOVED_FROM, MOVING};
use crate::store::moving::form::{Column, Kind};

/// The tables of a source that are not moved, and why that is right.
const LEFT: [(&str, &str); 3] = [
    ("endpoint_numbers", "the target keeps them in another form, which is made at the end"),
    ("unsealed", "what was not accepted to its end is undone before the move"),
    ("__diesel_schema_migrations", "the target has made its tables itself"),
];

/// The tables of a target that no source has.
const OWN: [(&str, &str); 5] = [
    ("endpoint_numbers", "the last number of each endpoint is looked up when all rows are there"),
    ("nodes", "who lives there will say so"),
    ("leases", "nobody owns anything yet"),
    ("unsealed", "nothing is being accepted"),
    ("__diesel_schema_migrations", "the target has made its tables itself"),
];

/// A table as a store has it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::store) struct Table {
    pub(in crate::store) name: String,
    pub(in crate::store) columns: Vec<Found>,
    /// The columns that a row is found by, in order.
    pub(in crate::store) key: Vec<String>,
}

/// A column as a store has it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::store) struct Found {
    pub(in crate::store) name: String,
    pub(in crate::store) declared: String,
    /// A row can do without a value for it.
    pub(in crate::store) is_optional: bool,
}

/// Rows of one table of the source that become rows of one table of the target.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::store) struct Part {
    /// The source's table.
    pub(in crate::store) from: String,
    /// The target's.
    pub(in crate::store) to: String,
    /// Which of the source's rows; the same words hold of the target's.
    pub(in crate::store) only: Option<String>,
    /// What is carried over.
    pub(in crate::store) columns: Vec<Column>,
    /// The places in `columns` of what a row is found by.
    pub(in crate::store) key: Vec<usize>,
    /// The place in `columns` of the endpoint whose partition is a column more, the last
    /// one, of the target's row.
    pub(in crate::store) partition_of: Option<usize>,
}

impl Part {
    /// What the target's row has, in order.
    pub(in crate::store) fn written(&self) -> Vec<Column> {
        let mut columns = self.columns.clone();
        if self.partition_of.is_some() {
            columns.push(Column { name: "partition".into(), kind: Kind::Number, postgres_type: "smallint".into() });
        }
        columns
    }

    /// Whether rows may be large.
    pub(in crate::store) fn has_bytes(&self) -> bool {
        self.columns.iter().any(|column| column.kind == Kind::Bytes)
    }
}

/// How a table is split over two, and what of it is left behind.
struct Half {
    to: &'static str,
    only: &'static str,
    dropped: &'static [&'static str],
    has_partition: bool,
}

/// Deliveries that wait, and those that have ended.
const HALVES: [Half; 2] = [
    Half { to: "pending", only: "next_at IS NOT NULL", dropped: &["finished_at"], has_partition: true },
    Half { to: "finished", only: "next_at IS NULL", dropped: &["next_at", "order_key"], has_partition: false },
];

/// What goes where. The order is that of the source's tables.
pub(in crate::store) fn plan(source: &[Table], target: &[Table]) -> Result<Vec<Part>, StoreError> {
    let mut parts = Vec::new();
    for table in source.iter().filter(|table| LEFT.iter().all(|(left, _)| *left != table.name)) {
        if table.name == "deliveries" {
            for half in &HALVES {
                let mut part = part(table, find(target, half.to)?, half.dropped, half.has_partition)?;
                part.only = Some(half.only.to_owned());
                parts.push(part);
            }
            continue;
        }
        let mut part = part(table, find(target, &table.name)?, &[], false)?;
        if table.name == "meta" {
            part.only = Some(format!("name NOT IN ('{MOVED}', '{MOVING}', '{MOVED_FROM}')"));
        }
        parts.push(part);
    }
    let is_known = |table: &&Table| {
        OWN.iter().any(|(own, _)| *own == table.name) || parts.iter().any(|part| part.to == table.name)
    };
    match target.iter().find(|table| !is_known(table)) {
        None => Ok(parts),
        Some(table) => Err(StoreError::Configuration(format!(
            "the target has a table `{}` of which nothing is known here, and that the source does not have",
            table.name
        ))),
    }
}

fn find<'a>(target: &'a [Table], name: &str) -> Result<&'a Table, StoreError> {
    target.iter().find(|table| table.name == name).ok_or_else(|| {
        StoreError::Configuration(format!(
            "the target has no table `{name}`: the source is of another release, or has a table of your own"
        ))
    })
}

fn part(from: &Table, to: &Table, dropped: &[&str], has_partition: bool) -> Result<Part, StoreError> {
    let name = &from.name;
    let mut columns = Vec::new();
    for column in from.columns.iter().filter(|column| !dropped.contains(&column.name.as_str())) {
        let there = to.columns.iter().find(|there| there.name == column.name);
        let kind = there.and_then(|there| Kind::of(&there.declared).zip(Some(&there.declared)));
        let Some((kind, declared)) = kind else {
            return Err(StoreError::Configuration(format!(
                "the column `{}` of `{name}` cannot be moved: the target's `{}` {}",
                column.name,
                to.name,
                there.map_or("has none of that name".into(), |there| format!("has it as {}", there.declared)),
            )));
        };
        columns.push(Column { name: column.name.clone(), kind, postgres_type: declared.clone() });
    }
    let is_filled = |there: &&Found| {
        there.is_optional
            || columns.iter().any(|column| column.name == there.name)
            || (has_partition && there.name == "partition")
    };
    if let Some(there) = to.columns.iter().find(|there| !is_filled(there)) {
        return Err(StoreError::Configuration(format!(
            "the target's `{}` wants a `{}` of every row, and the source's `{name}` has none",
            to.name, there.name
        )));
    }
    let place = |wanted: &str| columns.iter().position(|column| column.name == wanted);
    let lacking = |what: &str| StoreError::Configuration(format!("the source's `{name}` has no {what}"));
    let key: Vec<usize> =
        from.key.iter().map(|wanted| place(wanted).ok_or_else(|| lacking(wanted))).collect::<Result<_, _>>()?;
    if key.is_empty() {
        return Err(lacking("primary key"));
    }
    let partition_of = if has_partition { Some(place("endpoint").ok_or_else(|| lacking("endpoint"))?) } else { None };
    Ok(Part { from: name.clone(), to: to.name.clone(), only: None, columns, key, partition_of })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn table(name: &str, columns: &[(&str, &str)], key: &[&str]) -> Table {
        let found = |(name, declared): &(&str, &str)| Found {
            name: (*name).into(),
            declared: (*declared).into(),
            is_optional: declared.ends_with('?'),
        };
        let mut table = Table {
            name: name.into(),
            columns: columns.iter().map(found).collect(),
            key: key.iter().map(|name| (*name).to_owned()).collect(),
        };
        table.columns.iter_mut().for_each(|column| column.declared = column.declared.replace('?', ""));
        table
    }

    const DELIVERIES: [(&str, &str); 5] = [
        ("id", "bigint"),
        ("endpoint", "bigint"),
        ("next_at", "bigint?"),
        ("finished_at", "bigint?"),
        ("order_key", "bigint?"),
    ];

    fn halves() -> [Table; 2] {
        let pending = [
            ("id", "bigint"),
            ("partition", "smallint"),
            ("endpoint", "bigint"),
            ("next_at", "bigint"),
            ("order_key", "bigint?"),
        ];
        let finished = [("id", "bigint"), ("endpoint", "bigint"), ("finished_at", "bigint")];
        [table("pending", &pending, &[]), table("finished", &finished, &[])]
    }

    fn refused(source: &[Table], target: &[Table]) -> String {
        match plan(source, target) {
            Err(StoreError::Configuration(why)) => why,
            other => panic!("not refused: {other:?}"),
        }
    }

    #[test]
    fn deliveries_go_where_they_belong_and_each_to_one_place() {
        let source =
            [table("deliveries", &DELIVERIES, &["id"]), table("unsealed", &[("first_key", "bigint")], &["first_key"])];
        let parts = plan(&source, &halves()).expect("both halves are there");
        let [pending, finished] = &parts[..] else { panic!("two halves: {parts:?}") };
        let names = |part: &Part| part.written().into_iter().map(|column| column.name).collect::<Vec<_>>().join(" ");
        assert_eq!(names(pending), "id endpoint next_at order_key partition");
        assert_eq!(names(finished), "id endpoint finished_at");
        assert_eq!((pending.partition_of, finished.partition_of), (Some(1), None));
        assert_eq!(
            (pending.only.as_deref(), finished.only.as_deref()),
            (Some("next_at IS NOT NULL"), Some("next_at IS NULL"))
        );
    }

    #[test]
    fn what_has_no_place_is_named() {
        let source = |columns: &[(&str, &str)]| [table("things", columns, &["id"])];
        let target = |columns: &[(&str, &str)]| [table("things", columns, &["id"])];
        let (id, note) = (("id", "bigint"), ("note", "text"));
        assert!(refused(&source(&[id, note]), &target(&[id])).contains("the column `note` of `things`"));
        assert!(refused(&source(&[id]), &target(&[id, note])).contains("wants a `note` of every row"));
        assert!(plan(&source(&[id]), &target(&[id, ("note", "text?")])).is_ok());
        assert!(
            refused(&source(&[id, note]), &target(&[id, ("note", "double precision")])).contains("double precision")
        );
        assert!(refused(&source(&[id]), &[]).contains("no table `things`"));
        assert!(refused(&[], &target(&[id])).contains("a table `things` of which nothing is known"));
        assert!(refused(&[table("things", &[id], &[])], &target(&[id])).contains("no primary key"));
        let own: Vec<Table> = OWN.iter().map(|(name, _)| table(name, &[id], &[])).collect();
        assert_eq!(plan(&[], &own).expect("they are the target's own"), []);
    }

    proptest! {
        #[test]
        fn every_column_is_carried_over_under_its_name_in_whatever_order(
            names in prop::collection::btree_set("[a-z]{1,4}", 1..8),
            turned in any::<bool>(),
            key in any::<prop::sample::Index>(),
        ) {
            let columns: Vec<(&str, &str)> = names.iter().map(|name| (name.as_str(), "bigint")).collect();
            let mut there = columns.clone();
            if turned {
                there.reverse();
            }
            let key = columns[key.index(columns.len())].0;
            let parts = plan(&[table("things", &columns, &[key])], &[table("things", &there, &[])]).expect("the same");
            let carried: Vec<&str> = parts[0].columns.iter().map(|column| column.name.as_str()).collect();
            prop_assert_eq!(carried, columns.iter().map(|(name, _)| *name).collect::<Vec<_>>());
            prop_assert_eq!(&parts[0].columns[parts[0].key[0]].name, key);
        }
    }
}

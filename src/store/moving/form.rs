//! How a row is written down so that both kinds of store write it the same: one line of
//! fields with a bar between, a number in digits, text and bytes in hexadecimal digits,
//! `N` for NULL. The line is what is carried over, and what is counted and added up
//! afterwards on both sides.

use sha2::{Digest, Sha256};

use crate::store::StoreError;

/// Between two fields; nothing in a field can be one.
const BAR: char = '|';
/// A field that is NULL: neither a number nor hexadecimal.
pub(in crate::store) const NULL: &str = "N";
/// What stands for U+0000 in text, which one kind of store does not take.
const REPLACEMENT: &str = "EFBFBD";

/// What a column holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::store) enum Kind {
    /// A whole number.
    Number,
    /// True or false, written 1 or 0.
    Truth,
    Text,
    Bytes,
}

impl Kind {
    /// What a type of PostgreSQL's holds; `None` is a type that no row is moved with.
    pub(in crate::store) fn of(postgres_type: &str) -> Option<Self> {
        match postgres_type {
            "bigint" | "integer" | "smallint" => Some(Self::Number),
            "boolean" => Some(Self::Truth),
            "text" => Some(Self::Text),
            "bytea" => Some(Self::Bytes),
            _ => None,
        }
    }
}

/// A column that is moved.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::store) struct Column {
    pub(in crate::store) name: String,
    pub(in crate::store) kind: Kind,
    /// As PostgreSQL calls it.
    pub(in crate::store) postgres_type: String,
}

impl Column {
    /// SQLite's expression for the field.
    pub(in crate::store) fn sqlite_field(&self) -> String {
        let name = quoted(&self.name);
        match self.kind {
            Kind::Number | Kind::Truth => format!("IFNULL(CAST({name} AS TEXT), '{NULL}')"),
            // The hexadecimal digits of NULL are none in SQLite.
            Kind::Text => format!("CASE WHEN {name} IS NULL THEN '{NULL}' ELSE HEX(CAST({name} AS TEXT)) END"),
            Kind::Bytes => format!("CASE WHEN {name} IS NULL THEN '{NULL}' ELSE HEX({name}) END"),
        }
    }

    /// PostgreSQL's expression for the field.
    pub(in crate::store) fn postgres_field(&self) -> String {
        let name = quoted(&self.name);
        match self.kind {
            Kind::Number => format!("coalesce({name}::text, '{NULL}')"),
            Kind::Truth => format!("coalesce({name}::int::text, '{NULL}')"),
            Kind::Text => format!("coalesce(upper(encode(convert_to({name}, 'UTF8'), 'hex')), '{NULL}')"),
            Kind::Bytes => format!("coalesce(upper(encode({name}, 'hex')), '{NULL}')"),
        }
    }

    /// PostgreSQL's expression for the value of a field that was carried over.
    pub(in crate::store) fn postgres_value(&self, field: &str) -> String {
        let field = format!("nullif({field}, '{NULL}')");
        match self.kind {
            Kind::Number => format!("({field})::{}", self.postgres_type),
            Kind::Truth => format!("({field})::int::boolean"),
            Kind::Text => format!("convert_from(decode({field}, 'hex'), 'UTF8')"),
            Kind::Bytes => format!("decode({field}, 'hex')"),
        }
    }

    /// The value of a field as SQLite reads it. Fields are made of digits alone.
    pub(in crate::store) fn sqlite_value(&self, field: &str) -> String {
        match self.kind {
            Kind::Number | Kind::Truth => field.to_owned(),
            Kind::Text => format!("CAST(X'{field}' AS TEXT)"),
            Kind::Bytes => format!("X'{field}'"),
        }
    }

    /// A field of a row as it was read: one that is moved has nothing that the target
    /// would not take.
    pub(in crate::store) fn taken(&self, field: &str) -> Option<String> {
        let has_zero = |field: &str| field.as_bytes().chunks(2).any(|pair| pair == b"00");
        if self.kind != Kind::Text || !has_zero(field) {
            return None;
        }
        let pairs = field.as_bytes().chunks(2).map(|pair| match pair {
            b"00" => REPLACEMENT,
            // Hexadecimal digits, as SQLite writes them.
            pair => std::str::from_utf8(pair).unwrap_or_default(),
        });
        Some(pairs.collect())
    }
}

/// A name in SQL. Ours are words without quotes, but some are words of SQL.
pub(in crate::store) fn quoted(name: &str) -> String {
    format!("\"{name}\"")
}

/// The SQL of a whole row, of its fields'.
pub(in crate::store) fn line(fields: impl Iterator<Item = String>) -> String {
    fields.collect::<Vec<_>>().join(&format!(" || '{BAR}' || "))
}

/// The fields of a row.
pub(in crate::store) fn fields(row: &str) -> impl Iterator<Item = &str> {
    row.split(BAR)
}

/// The row of these fields.
pub(in crate::store) fn row_of<'a>(fields: impl Iterator<Item = std::borrow::Cow<'a, str>>) -> String {
    let mut row = String::new();
    for (index, field) in fields.enumerate() {
        if index > 0 {
            row.push(BAR);
        }
        row.push_str(&field);
    }
    row
}

/// A field that is a number.
pub(in crate::store) fn number(field: &str) -> Result<i64, StoreError> {
    field.parse().map_err(|_| StoreError::Corrupt(format!("`{field}` is no whole number")))
}

/// Rows counted and added up, in whatever order they come: stores sort text each in its
/// own way.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Sum {
    /// How many there are.
    pub rows: u64,
    sum: u128,
}

impl Sum {
    pub(in crate::store) fn add(&mut self, row: &str) {
        let digest = Sha256::digest(row.as_bytes());
        let mut first = [0; 16];
        first.copy_from_slice(&digest[..16]);
        self.rows += 1;
        self.sum = self.sum.wrapping_add(u128::from_be_bytes(first));
    }

    /// The checksum: 32 hexadecimal digits.
    pub fn checksum(&self) -> String {
        format!("{:032x}", self.sum)
    }
}

#[cfg(test)]
mod tests {
    use std::borrow::Cow;

    use proptest::prelude::*;

    use super::*;

    fn text() -> Column {
        Column { name: "t".into(), kind: Kind::Text, postgres_type: "text".into() }
    }

    proptest! {
        #[test]
        fn a_row_is_read_as_it_was_written(fields_in in prop::collection::vec("[0-9A-F]{0,8}|N|-[1-9][0-9]{0,5}", 1..6)) {
            let row = row_of(fields_in.iter().map(|field| Cow::Borrowed(field.as_str())));
            prop_assert_eq!(fields(&row).collect::<Vec<_>>(), fields_in);
        }

        #[test]
        fn sums_are_the_same_in_any_order_and_differ_by_any_row(
            rows in prop::collection::vec("[0-9A-F|]{0,6}", 1..20),
            at in any::<prop::sample::Index>(),
        ) {
            let sum = |rows: &[String]| {
                let mut sum = Sum::default();
                rows.iter().for_each(|row| sum.add(row));
                sum
            };
            let whole = sum(&rows);
            let mut turned = rows.clone();
            turned.reverse();
            prop_assert_eq!(sum(&turned), whole);
            let mut other = rows.clone();
            other[at.index(rows.len())].push('0');
            prop_assert_ne!(sum(&other), whole);
            other.pop();
            prop_assert_ne!(sum(&other), whole);
        }

        #[test]
        fn only_zeros_are_replaced(plain in "[a-c\u{0}é]{0,6}") {
            let hex: String = plain.bytes().map(|byte| format!("{byte:02X}")).collect();
            let expected: String = plain.replace('\0', "\u{fffd}").bytes().map(|byte| format!("{byte:02X}")).collect();
            let taken = text().taken(&hex);
            prop_assert_eq!(taken.is_some(), plain.contains('\0'));
            prop_assert_eq!(taken.unwrap_or(hex), expected);
        }
    }

    #[test]
    fn digits_across_two_bytes_are_no_zero() {
        assert_eq!(text().taken("1001"), None);
        assert_eq!(text().taken("4100"), Some("41EFBFBD".into()));
        let bytes = Column { kind: Kind::Bytes, ..text() };
        assert_eq!(bytes.taken("00"), None);
    }
}

//! The figures that scenarios are judged by, and what each is to reach. Nothing
//! here makes the benchmark fail.

use std::fmt;

use crate::measured::Measured;
use crate::stores::BackendName;

/// A figure that is read off a measurement.
pub struct Figure {
    /// What it is, with its unit.
    pub name: &'static str,
    /// As it is shown.
    pub decimals: usize,
    /// Where it stands.
    pub read: fn(&Measured) -> Option<f64>,
    /// What it is to be.
    pub reaches: Reaches,
}

/// A figure that a scenario of its own kind has worked out.
pub struct Finding {
    /// What it is, with its unit.
    pub figure: &'static str,
    /// As it is shown.
    pub decimals: usize,
    /// `None` if it is not known on this system.
    pub value: Option<f64>,
    /// What it is to be.
    pub reaches: Reaches,
}

/// What something is to be on each backend, where that was ever said.
#[derive(Debug, Clone, Copy, Default)]
pub struct Reaches {
    sqlite: Option<Reach>,
    postgres: Option<Reach>,
}

/// What a figure, or its ratio to the one that stands beside it, is to be.
#[derive(Debug, Clone, Copy)]
pub enum Reach {
    AtLeast(f64),
    AtMost(f64),
    RatioAtLeast(f64),
    RatioAtMost(f64),
    /// No less than this, and a ratio of no less than that.
    AtLeastAndRatio(f64, f64),
}

impl Reaches {
    /// Nothing was said.
    pub const NONE: Self = Self { sqlite: None, postgres: None };

    /// The same wherever the server keeps things.
    pub const fn everywhere(reach: Reach) -> Self {
        Self { sqlite: Some(reach), postgres: Some(reach) }
    }

    /// Said of SQLite.
    pub const fn on_sqlite(reach: Reach) -> Self {
        Self { sqlite: Some(reach), ..Self::NONE }
    }

    /// Said of PostgreSQL.
    pub const fn on_postgres(reach: Reach) -> Self {
        Self { postgres: Some(reach), ..Self::NONE }
    }

    /// And this of PostgreSQL.
    pub const fn and_on_postgres(self, reach: Reach) -> Self {
        Self { postgres: Some(reach), ..self }
    }

    /// What was said of a backend.
    pub fn on(self, backend: BackendName) -> Option<Reach> {
        match backend {
            BackendName::Sqlite => self.sqlite,
            BackendName::Postgres => self.postgres,
        }
    }
}

impl Finding {
    /// A figure without a reach.
    pub fn new(figure: &'static str, decimals: usize, value: impl Into<Option<f64>>) -> Self {
        Self { figure, decimals, value: value.into(), reaches: Reaches::NONE }
    }

    /// The same with one.
    pub fn reaching(self, reaches: Reaches) -> Self {
        Self { reaches, ..self }
    }
}

impl Reach {
    /// Whether it is that; `None` if what it takes was not measured.
    pub fn is_met(self, figure: Option<f64>, ratio: Option<f64>) -> Option<bool> {
        Some(match self {
            Self::AtLeast(least) => figure? >= least,
            Self::AtMost(most) => figure? <= most,
            Self::RatioAtLeast(least) => ratio? >= least,
            Self::RatioAtMost(most) => ratio? <= most,
            Self::AtLeastAndRatio(least, least_ratio) => figure? >= least && ratio? >= least_ratio,
        })
    }
}

impl fmt::Display for Reach {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::AtLeast(least) => write!(formatter, ">= {least}"),
            Self::AtMost(most) => write!(formatter, "<= {most}"),
            Self::RatioAtLeast(least) => write!(formatter, "ratio >= {least}"),
            Self::RatioAtMost(most) => write!(formatter, "ratio <= {most}"),
            Self::AtLeastAndRatio(least, ratio) => write!(formatter, ">= {least} and ratio >= {ratio}"),
        }
    }
}

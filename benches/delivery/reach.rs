//! The figures that scenarios are judged by, and what each is to reach. Nothing
//! here makes the benchmark fail.

use std::fmt;

use crate::measured::Measured;

/// A figure that is read off a measurement.
pub struct Figure {
    /// What it is, with its unit.
    pub name: &'static str,
    /// As it is shown.
    pub decimals: usize,
    /// Where it stands.
    pub read: fn(&Measured) -> Option<f64>,
    /// What it is to be, if that was ever said.
    pub reach: Option<Reach>,
}

/// A figure that a scenario of its own kind has worked out.
pub struct Finding {
    /// What it is, with its unit.
    pub figure: &'static str,
    /// As it is shown.
    pub decimals: usize,
    /// `None` if it is not known on this system.
    pub value: Option<f64>,
    /// What it is to be, if that was ever said.
    pub reach: Option<Reach>,
}

/// What a figure, or its ratio to the one that stands beside it, is to be.
#[derive(Debug, Clone, Copy)]
pub enum Reach {
    AtLeast(f64),
    AtMost(f64),
    RatioAtLeast(f64),
    RatioAtMost(f64),
}

impl Finding {
    /// A figure without a reach.
    pub fn new(figure: &'static str, decimals: usize, value: impl Into<Option<f64>>) -> Self {
        Self { figure, decimals, value: value.into(), reach: None }
    }

    /// The same with one.
    pub fn reaching(self, reach: Reach) -> Self {
        Self { reach: Some(reach), ..self }
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
        }
    }
}

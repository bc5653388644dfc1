//! A figure, what stands beside it, and whether it is what it is to be.

use crate::measured::Measured;
use crate::reach::{Figure, Finding, Reach};
use crate::server::System;
use crate::stores::BackendName;
use crate::table::number;

/// One line of the summary.
#[derive(Default, serde::Serialize)]
pub struct Judgement {
    scenario: &'static str,
    figure: &'static str,
    #[serde(skip)]
    decimals: usize,
    /// The server's; absent if it was not measured, as with all that follow.
    posthaste: Option<f64>,
    /// The limits', in the same run.
    client: Option<f64>,
    journal: Option<f64>,
    forwarder: Option<f64>,
    /// The server's own, without what should not matter.
    without: Option<f64>,
    /// How many times what the forwarder does, or what the server does without
    /// the burden.
    ratio: Option<f64>,
    reach: Option<String>,
    met: Option<bool>,
}

impl Judgement {
    pub const TITLES: [&str; 10] =
        ["scenario", "figure", "posthaste", "client", "journal", "forwarder", "without", "ratio", "reach", ""];

    /// The server beside its limits.
    pub fn limited(scenario: &'static str, figure: &Figure, rows: &[Measured], backend: BackendName) -> Self {
        let of = |system| rows.iter().find(|row| row.subject.system == system).and_then(figure.read);
        let judgement = Self {
            posthaste: of(System::Posthaste),
            client: of(System::Client),
            journal: of(System::Journal),
            forwarder: of(System::Forwarder),
            ..Self::named(scenario, figure.name, figure.decimals)
        };
        judgement.judged(figure.reaches.on(backend))
    }

    /// The server with a burden beside itself without, in this order in `rows`.
    pub fn burdened(
        scenario: &'static str,
        figure: &Figure,
        [without, with]: [&Measured; 2],
        backend: BackendName,
    ) -> Self {
        let judgement = Self {
            posthaste: (figure.read)(with),
            without: (figure.read)(without),
            ..Self::named(scenario, figure.name, figure.decimals)
        };
        judgement.judged(figure.reaches.on(backend))
    }

    /// A figure that stands alone.
    pub fn found(scenario: &'static str, finding: &Finding, backend: BackendName) -> Self {
        let judgement = Self { posthaste: finding.value, ..Self::named(scenario, finding.figure, finding.decimals) };
        judgement.judged(finding.reaches.on(backend))
    }

    fn named(scenario: &'static str, figure: &'static str, decimals: usize) -> Self {
        Self { scenario, figure, decimals, ..Self::default() }
    }

    fn judged(self, reach: Option<Reach>) -> Self {
        let beside = self.forwarder.or(self.without);
        let ratio = self.posthaste.zip(beside).filter(|(_, beside)| *beside > 0.0);
        let ratio = ratio.map(|(figure, beside)| figure / beside);
        let met = reach.and_then(|reach| reach.is_met(self.posthaste, ratio));
        Self { ratio, reach: reach.map(|reach| reach.to_string()), met, ..self }
    }

    /// As it stands in the table.
    pub fn cells(&self) -> Vec<String> {
        let figure = |value| number(value, self.decimals);
        let met = self.met.map_or("", |met| if met { "met" } else { "not met" });
        vec![
            self.scenario.into(),
            self.figure.into(),
            figure(self.posthaste),
            figure(self.client),
            figure(self.journal),
            figure(self.forwarder),
            figure(self.without),
            number(self.ratio, 3),
            self.reach.clone().unwrap_or("-".into()),
            met.into(),
        ]
    }
}

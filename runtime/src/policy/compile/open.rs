//! Where Egret's own policies leave everything open.

use crate::model::{Kind, ModuleStage, Policy};

use super::super::asked::Which;

/// Where Egret's own policies leave everything open: nothing is denied by default there, and no module is asked where no rule
/// speaks. What a policy of Kubernetes accepts is told as the reason there, and would say more than it may elsewhere. For each
/// kind of destination, in the applied verdict and in the observed one.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Open([(bool, bool); 3]);

const KINDS: [Kind; 3] = [Kind::Internet, Kind::Cluster, Kind::Node];

impl Open {
    /// What `policies` leave open.
    pub(super) fn by(policies: &[&Policy]) -> Self {
        let is_open = |which: Which, kind| {
            let counting =
                policies.iter().filter(|policy| which.counts(policy.mode) && policy.scope.covers(kind));
            let asks =
                |policy: &Policy| policy.modules.iter().any(|module| module.stage == ModuleStage::Unmatched);
            counting.into_iter().all(|policy| !policy.denies_by_default() && !asks(policy))
        };
        Self(KINDS.map(|kind| (is_open(Which::Applied, kind), is_open(Which::Observed, kind))))
    }

    /// Whether destinations of `kind` are open in the applied verdict, and in the observed one.
    #[must_use]
    pub fn of(&self, kind: Kind) -> (bool, bool) {
        self.0[match kind {
            Kind::Internet => 0,
            Kind::Cluster => 1,
            Kind::Node => 2,
        }]
    }
}

//! What to do with an order: pure functions, without any input or output. docs/orders-in-sql.md shows the same tables, and a
//! test compares them.

/// How far an order has come, according to its row. The row decides: stock and payment follow it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum OrderState {
    /// It exists. Its units may be held, and its payment may be under way.
    Placed,
    /// The provider has the money, or has authorised it. The units are to be sold.
    Paid,
    /// The units are sold. The money is to be captured.
    Committed,
    /// The end: sold and captured.
    Sold,
    /// It will not be sold. Units and money are to be given back.
    Cancelling,
    /// The end: nothing is held, sold or captured.
    Cancelled,
}

/// What the stock server knows about a reservation.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Reservation {
    /// It holds its units.
    Reserved,
    /// Its units are sold.
    Committed,
    /// Its deadline has passed.
    Expired,
    /// Its units were returned, or a fence keeps it from being made.
    RolledBack,
    /// INV.GET answers null. Either it was never made, or its RESERVE is on its way, or the server has lost it.
    Unknown,
    /// INV.GET answers null, and the order is so old that the outcome may no longer be remembered.
    Forgotten,
}

/// What the provider knows about the payment of an order.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Payment {
    /// It has never heard of it.
    None,
    /// The customer may still pay.
    Pending,
    /// The money is promised, and can be captured.
    Authorised,
    /// The money is taken.
    Captured,
    /// The customer cannot pay this way.
    Failed,
    /// It was ended before anything was captured.
    Ended,
    /// What was captured was given back.
    Refunded,
}

/// What to do with an order that is only placed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// Leave it alone until the time for paying is over.
    Wait,
    /// Mark it as paid.
    MarkPaid,
    /// Mark it as cancelling.
    Cancel,
}

/// What to do with the reservation of any other order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Action {
    /// `INV.COMMIT`; then the order is committed, or remains sold.
    Commit,
    /// `INV.COMMIT … LATE`, with the same consequence. INSUFFICIENT: mark the order as cancelling.
    CommitLate,
    /// `INV.ROLLBACK … FENCE`, and then RESERVE under the next id of the order. INSUFFICIENT: mark the order as cancelling.
    Renew,
    /// Capture the money; then the order is sold. Refused: mark the order as cancelling.
    Capture,
    /// `INV.ROLLBACK … FENCE`; then end the payment, and the order is cancelled.
    Release,
    /// Put the sold units back; then end the payment, and the order is cancelled.
    PutBack,
    /// Everything is as the order says.
    Nothing,
    /// Show the order to a person.
    AskPerson,
}

/// What to do with an order that is placed.
pub const fn step(payment: Payment, may_still_pay: bool) -> Step {
    match (payment, may_still_pay) {
        (Payment::Authorised | Payment::Captured, _) => Step::MarkPaid,
        (Payment::None | Payment::Pending, true) => Step::Wait,
        (Payment::None | Payment::Pending, false)
        | (Payment::Failed | Payment::Ended | Payment::Refunded, _) => Step::Cancel,
    }
}

/// What to do with an order that is more than placed.
pub const fn action(order: OrderState, reservation: Reservation) -> Action {
    use OrderState::{Cancelled, Cancelling, Committed, Paid, Placed, Sold};
    match (order, reservation) {
        // `step` decides first.
        (Placed, _) => Action::Nothing,

        (Paid | Committed | Sold, Reservation::Reserved) | (Paid, Reservation::Committed) => Action::Commit,
        (Paid | Committed | Sold, Reservation::Expired) => Action::CommitLate,
        (Paid | Committed | Sold, Reservation::RolledBack | Reservation::Unknown) => Action::Renew,
        (Committed, Reservation::Committed) => Action::Capture,
        (Sold, Reservation::Committed | Reservation::Forgotten) => Action::Nothing,

        (Cancelling | Cancelled, Reservation::Committed) => Action::PutBack,
        (
            Cancelling | Cancelled,
            Reservation::Reserved | Reservation::Expired | Reservation::RolledBack | Reservation::Unknown,
        )
        | (Cancelled, Reservation::Forgotten) => Action::Release,

        // Sold and forgotten, or lost? The stock server cannot tell any more.
        (Paid | Committed | Cancelling, Reservation::Forgotten) => Action::AskPerson,
    }
}

/// Whether the server has lost what it had answered for this order.
pub const fn is_lost(order: OrderState, reservation: Reservation) -> bool {
    match order {
        OrderState::Committed | OrderState::Sold => {
            !matches!(reservation, Reservation::Committed | Reservation::Forgotten)
        }
        OrderState::Cancelled => {
            matches!(reservation, Reservation::Reserved | Reservation::Expired | Reservation::Unknown)
        }
        OrderState::Placed | OrderState::Paid | OrderState::Cancelling => false,
    }
}

impl OrderState {
    /// All of them.
    pub const ALL: [Self; 6] =
        [Self::Placed, Self::Paid, Self::Committed, Self::Sold, Self::Cancelling, Self::Cancelled];

    /// The word in the database.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Placed => "placed",
            Self::Paid => "paid",
            Self::Committed => "committed",
            Self::Sold => "sold",
            Self::Cancelling => "cancelling",
            Self::Cancelled => "cancelled",
        }
    }
}

impl Reservation {
    /// All of them.
    pub const ALL: [Self; 6] =
        [Self::Reserved, Self::Committed, Self::Expired, Self::RolledBack, Self::Unknown, Self::Forgotten];

    /// The `state` of INV.GET, and two words for null.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Reserved => "reserved",
            Self::Committed => "committed",
            Self::Expired => "expired",
            Self::RolledBack => "rolled_back",
            Self::Unknown => "unknown",
            Self::Forgotten => "forgotten",
        }
    }
}

impl Payment {
    /// All of them.
    pub const ALL: [Self; 7] = [
        Self::None,
        Self::Pending,
        Self::Authorised,
        Self::Captured,
        Self::Failed,
        Self::Ended,
        Self::Refunded,
    ];

    /// The word of the provider.
    pub const fn name(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::Pending => "pending",
            Self::Authorised => "authorised",
            Self::Captured => "captured",
            Self::Failed => "failed",
            Self::Ended => "ended",
            Self::Refunded => "refunded",
        }
    }
}

impl Step {
    /// The words of the document.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Wait => "wait",
            Self::MarkPaid => "mark paid",
            Self::Cancel => "cancel",
        }
    }
}

impl Action {
    /// The words of the document.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Commit => "commit",
            Self::CommitLate => "commit late",
            Self::Renew => "renew",
            Self::Capture => "capture",
            Self::Release => "release",
            Self::PutBack => "put back",
            Self::Nothing => "nothing",
            Self::AskPerson => "ask a person",
        }
    }
}

//! What people and agents say in sales conversations, with gaps to fill.
//!
//! The words matter: later work searches them, so every topic has its own vocabulary. Invariant: a gap is
//! `{first}`, `{company}`, `{sender}`, `{day}`, `{seats}` or `{amount}`; a test fills them all.

/// What the gaps of a text are filled with.
#[derive(Clone, Copy, Debug)]
pub(super) struct Slots<'a> {
    /// The lead's given name.
    pub(super) first: &'a str,
    /// The lead's company.
    pub(super) company: &'a str,
    /// Who signs on our side.
    pub(super) sender: &'a str,
    /// A day of the week.
    pub(super) day: &'a str,
    /// A number of licences.
    pub(super) seats: u64,
    /// A price in whole euros.
    pub(super) amount: u64,
}

/// `template` with its gaps filled.
pub(super) fn fill(template: &str, slots: &Slots<'_>) -> String {
    let mut text = String::with_capacity(template.len() + 32);
    let mut rest = template;
    while let Some((before, after)) = rest.split_once('{') {
        text.push_str(before);
        let (name, behind) = after
            .split_once('}')
            .expect("every gap of a template is closed");
        match name {
            "first" => text.push_str(slots.first),
            "company" => text.push_str(slots.company),
            "sender" => text.push_str(slots.sender),
            "day" => text.push_str(slots.day),
            "seats" => text.push_str(&slots.seats.to_string()),
            "amount" => text.push_str(&slots.amount.to_string()),
            other => unreachable!("there is no gap {other}"),
        }
        rest = behind;
    }
    text.push_str(rest);
    text
}

pub(super) const DAYS: &[&str] = &["Monday", "Tuesday", "Wednesday", "Thursday", "Friday"];

/// A thing leads ask about.
#[derive(Debug)]
pub(super) struct Topic {
    pub(super) name: &'static str,
    pub(super) subject: &'static str,
    pub(super) questions: &'static [&'static str],
    pub(super) answers: &'static [&'static str],
}

pub(super) const TOPICS: &[Topic] = &[
    Topic {
        name: "pricing",
        subject: "Pricing for {seats} seats",
        questions: &[
            "What would {seats} seats cost us on the annual plan?",
            "Is there a discount if {company} pays for two years up front?",
            "Your quote of {amount} euros is above our budget. Is there room to move?",
            "Do inactive users count towards the licence price?",
        ],
        answers: &[
            "For {seats} seats the annual plan comes to {amount} euros, support included.",
            "A two-year commitment lowers the price by twelve percent, and it stays fixed for the whole term.",
            "We could start with fewer seats at {amount} euros and grow when the first team is happy.",
            "Only active users are billed, so a seat that nobody uses costs nothing.",
        ],
    },
    Topic {
        name: "integration",
        subject: "Connecting our systems",
        questions: &[
            "Can you synchronise contacts with the CRM we already have?",
            "Is there a REST API, and are webhooks delivered more than once?",
            "How long does the calendar integration take to set up?",
            "Our data warehouse needs a nightly export. Is that possible?",
        ],
        answers: &[
            "Contacts are synchronised both ways every five minutes, and conflicts are shown to you first.",
            "Yes: every object has an API endpoint, and webhooks carry an id so that a repeat is easy to spot.",
            "The calendar is connected in about ten minutes; each colleague signs in once.",
            "A nightly export as CSV or Parquet is part of the standard plan.",
        ],
    },
    Topic {
        name: "security",
        subject: "Security questionnaire",
        questions: &[
            "Where is our data stored, and is it encrypted at rest?",
            "Do you support single sign-on with our identity provider?",
            "Our auditors ask for the latest penetration test report.",
            "How quickly are accounts removed when somebody leaves {company}?",
        ],
        answers: &[
            "All data stays in Frankfurt, encrypted at rest and in transit, with keys you may bring yourself.",
            "Single sign-on with SAML and OpenID Connect is included for {seats} seats and more.",
            "The report can be shared once a confidentiality agreement is signed; I will send it today.",
            "Accounts are removed within a minute of the change in your directory.",
        ],
    },
    Topic {
        name: "onboarding",
        subject: "Getting the team started",
        questions: &[
            "Who helps us to import the old spreadsheets?",
            "How much training does a new colleague need?",
            "Could the sales team at {company} be live before the end of the quarter?",
            "Is there a guide that we can hand to new starters?",
        ],
        answers: &[
            "Our onboarding team imports the spreadsheets with you and checks for duplicates.",
            "Most people need one session of forty minutes; recordings are available afterwards.",
            "If we begin on {day}, {seats} people can be live in three weeks.",
            "Yes, there is a short guide, and the product explains itself step by step.",
        ],
    },
    Topic {
        name: "demo",
        subject: "A demonstration for {company}",
        questions: &[
            "Could you show us the product on {day}?",
            "We would like to see the forecasting dashboard with our own pipeline.",
            "My manager should join the demo. Do you have a slot in the afternoon?",
            "Can we try it ourselves before we decide?",
        ],
        answers: &[
            "With pleasure. {day} at ten works well; the invitation is on its way.",
            "Send me an export of your pipeline and I will prepare the forecast before we meet.",
            "The afternoon is fine, forty-five minutes are enough for everybody's questions.",
            "I have opened a trial for {seats} people, free for thirty days.",
        ],
    },
    Topic {
        name: "comparison",
        subject: "How you compare with our current tool",
        questions: &[
            "Why should we leave the tool that we use today?",
            "Our current vendor offers lead scoring too. What is different in yours?",
            "What do customers say who switched last year?",
            "Is it hard to migrate five years of history?",
        ],
        answers: &[
            "The usual reason is time: teams tell us that they save about an hour per person and day.",
            "Every score comes with the reasons behind it, so your people can disagree with it.",
            "I can put you in touch with a customer in your industry who switched in spring.",
            "The migration keeps every note and every e-mail; five years took the last customer two days.",
        ],
    },
    Topic {
        name: "timeline",
        subject: "Next steps and timing",
        questions: &[
            "When do we have to decide for the offer to stand?",
            "Our budget is approved in the new year. Can we talk again then?",
            "What happens after we sign?",
            "We are busy with an audit, please come back to me on {day}.",
        ],
        answers: &[
            "The offer stands until the end of the month, and I can extend it once.",
            "Of course. I have set a reminder and will write again in January.",
            "After the signature you get a kick-off call, and the workspace is ready the same day.",
            "No hurry at all, I will call you on {day} after lunch.",
        ],
    },
    Topic {
        name: "contract",
        subject: "Contract and terms",
        questions: &[
            "Legal asks whether the notice period can be one month.",
            "Can the invoice be split between two cost centres at {company}?",
            "We need a data processing agreement before anything is signed.",
            "Is the contract renewed automatically?",
        ],
        answers: &[
            "One month of notice is fine for contracts below {amount} euros a year.",
            "Yes, give me both cost centres and the invoice will be split evenly.",
            "The data processing agreement is attached, already signed on our side.",
            "It renews for a year unless you cancel; we remind you sixty days before.",
        ],
    },
    Topic {
        name: "support",
        subject: "Help with the trial",
        questions: &[
            "The import stops at row four hundred with an error about a date.",
            "Two colleagues did not receive the invitation to the trial.",
            "Reports load slowly since {day}. Is that known?",
            "How do I undo a merge of two contacts?",
        ],
        answers: &[
            "The date in that row has the month first; I corrected it and the import has finished.",
            "The invitations were held back by a spam filter, I have sent them once more.",
            "We found a missing index and fixed it this morning; reports are fast again.",
            "Open the contact's history and choose undo; nothing is lost for ninety days.",
        ],
    },
    Topic {
        name: "reporting",
        subject: "Reports for the management",
        questions: &[
            "Can the weekly report show conversion by campaign?",
            "Our directors want the revenue forecast as a PDF every {day}.",
            "Is it possible to compare regions in one chart?",
            "Who can see the commission of each salesperson?",
        ],
        answers: &[
            "Conversion by campaign and by channel are both in the standard report.",
            "I scheduled the forecast for {day} at seven, as PDF and as spreadsheet.",
            "Yes, choose two regions in the filter and the chart shows them side by side.",
            "Only managers see commissions; you can narrow that further with a role.",
        ],
    },
];

/// How a lead begins.
pub(super) const LEAD_OPENINGS: &[&str] = &[
    "",
    "",
    "",
    "Hello {sender}, ",
    "Thanks for the quick answer. ",
    "Good morning! ",
    "One more question: ",
    "I spoke to my team. ",
    "Sorry for the late reply. ",
];

/// How we begin.
pub(super) const OUR_OPENINGS: &[&str] = &[
    "",
    "",
    "Hi {first}, ",
    "Good question. ",
    "Thank you for asking, {first}. ",
    "Happy to help. ",
    "I checked with our team. ",
];

/// How we end.
pub(super) const OUR_CLOSINGS: &[&str] = &[
    "",
    "",
    "",
    " Does that help?",
    " Shall we talk about it on {day}?",
    " Let me know what {company} needs and I will prepare it.",
    " Best regards, {sender}",
];

/// What the platform itself notes in a conversation.
pub(super) const NOTICES: &[&str] = &[
    "Conversation handed over to {sender}.",
    "Reminder: no reply from {first} for two days.",
    "A quote over {amount} euros was attached.",
];

/// The touches of campaigns: subject and text.
pub(super) const OUTREACH: &[(&str, &str)] = &[
    (
        "An idea for {company}",
        "Hi {first}, teams like yours lose a lot of time on copying notes between tools. OneKeel Swarm writes them \
         for you. Would fifteen minutes on {day} be worth a look?\n\nBest regards,\n{sender}",
    ),
    (
        "Following up, {first}",
        "Hi {first}, I know how full a week can be. In short: our agents answer first questions from your leads \
         within a minute, day and night, and hand over to a person when it matters.\n\n{sender}",
    ),
    (
        "How others in your industry do it",
        "Hi {first}, a company of the size of {company} cut its response time from nine hours to four minutes. \
         I would be glad to send you the case study.\n\nKind regards,\n{sender}",
    ),
    (
        "A short demonstration on {day}?",
        "Hello {first}, may I show you lead scoring and forecasting with your own data? The demonstration takes half \
         an hour, and you can bring as many colleagues as you like.\n\n{sender}",
    ),
    (
        "Your offer for {seats} seats",
        "Hello {first}, as promised here is the offer for {company}: {seats} seats for {amount} euros a year, \
         onboarding and support included. It is valid for thirty days.\n\nBest,\n{sender}",
    ),
    (
        "Should I close your file?",
        "Hi {first}, I have not heard from you and do not want to be a nuisance. If the timing is wrong, one word is \
         enough and I will come back next quarter.\n\n{sender}",
    ),
];

/// What is noted after a call.
pub(super) const CALL_NOTES: &[&str] = &[
    "Spoke to {first}: interested, wants a quote for {seats} seats by {day}.",
    "Left a voice message for {first}, will try again on {day}.",
    "{first} asked for references in the industry and for the security white paper.",
    "Budget at {company} is about {amount} euros, decision after the next board meeting.",
    "Wrong person: {first} passed me on to the head of procurement at {company}.",
    "{first} compares us with one other vendor; price and data import decide.",
];

/// What is left to do for a lead.
pub(super) const TASKS: &[&str] = &[
    "Call {first} at {company}",
    "Send the quote over {amount} euros to {company}",
    "Prepare the demonstration for {first}",
    "Answer the security questionnaire of {company}",
    "Ask {first} for feedback on the trial",
    "Agree on the contract terms with {company}",
    "Check the duplicate contacts of {company}",
];

/// Why an agent decided as it did.
pub(super) const RATIONALES: &[&str] = &[
    "{first} opened three messages this week and visited the pricing page twice.",
    "The question concerns the contract; a person should answer it.",
    "{company} has fewer people than the smallest plan is made for.",
    "{first} asked for a meeting on {day}, and the calendar is free.",
    "No reply after four touches; a short reminder has the best chance.",
    "Budget of about {amount} euros and a named decision maker: the lead is qualified.",
    "The tone of the last message is impatient, so the answer should not wait.",
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_gap_can_be_filled() {
        let slots = Slots {
            first: "Ada",
            company: "Oakmill Ltd",
            sender: "Ben",
            day: "Friday",
            seats: 9,
            amount: 900,
        };
        let topics = TOPICS.iter().flat_map(|topic| {
            topic
                .questions
                .iter()
                .chain(topic.answers)
                .copied()
                .chain([topic.subject])
        });
        let outreach = OUTREACH.iter().flat_map(|&(subject, text)| [subject, text]);
        let lists = [
            LEAD_OPENINGS,
            OUR_OPENINGS,
            OUR_CLOSINGS,
            NOTICES,
            CALL_NOTES,
            TASKS,
            RATIONALES,
        ];
        for template in topics.chain(outreach).chain(lists.concat()) {
            let text = fill(template, &slots);
            assert!(!text.contains(['{', '}']), "{text}");
        }
        assert_eq!(
            fill("{seats} for {first}, {day}.", &slots),
            "9 for Ada, Friday."
        );
    }
}

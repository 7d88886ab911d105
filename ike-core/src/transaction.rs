//! Mode Config and XAUTH, draft-dukes-ike-mode-cfg-02 and draft-ietf-ipsec-isakmp-xauth-06: understood far enough to be
//! refused in their own words. A request is answered without attributes, and none that is set is accepted.

use crate::context::Context;
use crate::error::DatagramError;
use crate::event::{Event, Hint};
use crate::isakmp_sa::{Fingerprint, Path};
use crate::peer::Peer;
use crate::quick_mode::Finished;
use crate::quick_mode::exchange::{Exchange, State};
use crate::wire::numbers::{ConfigurationType, ExchangeType, PayloadType};
use crate::wire::{AttributeList, Configuration, Message, PayloadChain};

impl Peer {
    /// Takes in a message of a transaction exchange under one of our ISAKMP SAs.
    pub(crate) fn receive_transaction(
        &mut self,
        context: &mut Context<'_>,
        message: &Message<'_>,
        octets: &[u8],
        path: Path,
    ) -> Result<(), DatagramError> {
        let header = message.header();
        let (cookies, id) = (header.cookies(), header.message_id());
        let position = self
            .isakmp_sas
            .iter()
            .position(|isakmp| isakmp.cookies() == cookies)
            .ok_or(DatagramError::UnknownCookies)?;
        if id.is_zero() {
            return Err(DatagramError::Unexpected);
        }
        let same =
            |exchange: &&mut Exchange| exchange.isakmp == cookies && exchange.message_id == id;
        if let Some(State::Finished(finished)) = self
            .exchanges
            .iter_mut()
            .find(same)
            .map(|exchange| &mut exchange.state)
        {
            let again = finished.repeat(Fingerprint::of(octets));
            return self.repeat(context, (position, path), again);
        }
        let isakmp = self
            .isakmp_sas
            .get_mut(position)
            .ok_or(DatagramError::UnknownCookies)?;
        if isakmp.knows_message_id(id) {
            return Err(DatagramError::Duplicate);
        }
        let opened = isakmp.open_authentic(message)?;
        isakmp.take_message_id(ExchangeType::TRANSACTION, id);
        isakmp.prove();
        let payloads = opened.payloads()?;
        let configuration =
            Configuration::decode(payloads.exactly_one(PayloadType::ATTRIBUTES)?.body())?;
        let answer = match configuration.configuration_type() {
            ConfigurationType::REQUEST => ConfigurationType::REPLY,
            ConfigurationType::SET => ConfigurationType::ACK,
            _ => return Err(DatagramError::Unexpected),
        };
        let body = Configuration::encode(answer, configuration.identifier(), &AttributeList::new());
        let mut payloads = PayloadChain::new();
        payloads.push(PayloadType::ATTRIBUTES, &body);
        let hash = isakmp.keys().hash_1(id, payloads.octets());
        payloads.prepend(PayloadType::HASH, &hash);
        let sealed = isakmp.seal(ExchangeType::TRANSACTION, id, &opened.next_iv, &payloads);
        if let (Some((message, _)), Some(isakmp)) = (sealed, self.isakmp_sas.get(position)) {
            let path = self.answer_path(context, isakmp, path);
            let answer = context.output.send(path.local, path.remote, message);
            self.remember(Exchange {
                isakmp: cookies,
                message_id: id,
                state: State::Finished(Finished {
                    repeated: Fingerprint::of(octets),
                    answer: Some(answer),
                    repeats: 0,
                    since: context.now,
                }),
            });
        }
        tracing::debug!(peer = %self.id, "the peer wants XAUTH or Mode Config, which are refused");
        context.output.event(Event::Hinted {
            peer: self.id,
            hint: Hint::ConfigurationWanted,
        });
        Err(DatagramError::UnsupportedExchange {
            exchange: ExchangeType::TRANSACTION,
        })
    }
}

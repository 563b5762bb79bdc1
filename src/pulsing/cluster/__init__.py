"""Who is there, and what is registered where.

Owns: membership (SWIM with Lifeguard, or a head node), the registry of named actors, the policies
that pick one of many instances, and the guard that tells a stalled node from a dead one. Must not
know: actors, and how a message reaches another node; `wire` is all it sees of the network.

Reading order: ``members``, ``settings``, ``stimuli``, ``effects`` (vocabulary); ``claims``,
``member_table``, ``messages``, ``fields``, ``claim_codec``, ``message_codec`` (what is said, and
what is believed); ``dissemination``, ``suspicion``, ``local_health``, ``rotation``, ``outbox``,
``probing_core``, ``swim_core`` (membership by gossip); ``registry_part``, ``registry_core``
(names); ``table_digest``, ``exchanges``, ``pulls``, ``sync_core`` (what gossip missed);
``policies``; ``admission``, ``joining_core``; ``spreading``, ``leaving``, ``gossip_parts``,
``gossip_requests``, ``gossip_outcomes``, ``gossip_core`` (all of it together); ``head_mode``,
``head_core``, ``worker_reading``, ``worker_core`` (the other mode); ``wire``, ``seeds``,
``guard``, ``agent`` (asyncio around it).
"""

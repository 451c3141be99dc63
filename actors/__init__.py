"""What runs: one folder for each actor of the tree. `tree.py` has the tree as data: read it first.

root            one_for_one: handles and mailboxes survive a restart
  journal       critical: ledger, outbox, desired state
  engines       the manager, and one actor for each engine container
  downloads     the manager, and one actor for each transfer
  metrics       the sampler
  link          the conversation with the master
  aux           the local API
"""

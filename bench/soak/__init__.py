"""Ten thousand people link and act while everything around the bot is killed, restarted and cut off at random.

`python -m bench.soak` runs ``omnibot run`` as a process of its own, between a network (`bench.soak.town`) that
redelivers what the bot has not made durable, and the demo service with tokens that live for seconds.  People say
commands as people do: who is sent a link opens it, who gets no answer says it anew.  `bench.soak.chaos` kills the
bot, stops the service and cuts the lines meanwhile.  In the end `bench.soak.judge` compares what people were told
with what the service holds.
"""

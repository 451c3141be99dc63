%% Erlang's own supervisor over a gen_server: the field's record. One line of standard input, one line of JSON:
%% "restart N" gives N microseconds each, from the message that crashes the server to the answer of its replacement;
%% "tell N" gives messages a second until the last one is handled.
-module(otp_peer).
-behaviour(supervisor).
-export([main/0, init/1, start_echo/1, handle_call/3, handle_cast/2, handle_info/2]).

main() ->
    error_logger:tty(false),
    logger:set_primary_config(level, none),
    {ok, _} = supervisor:start_link(?MODULE, {supervisor, self()}),
    receive {up, Pid} -> loop(Pid) end.

init({supervisor, Driver}) ->
    {ok, {#{strategy => one_for_one, intensity => 1000000, period => 1},
          [#{id => echo, start => {?MODULE, start_echo, [Driver]}}]}};
init({echo, Driver}) ->
    Driver ! {up, self()},
    {ok, nothing}.

start_echo(Driver) -> gen_server:start_link(?MODULE, {echo, Driver}, []).

handle_call(Message, _, State) -> {reply, Message, State}.
handle_cast(crash, _) -> exit(on_purpose);
handle_cast(_, State) -> {noreply, State}.
handle_info(_, State) -> {noreply, State}.

loop(Pid) ->
    case io:get_line("") of
        eof -> ok;
        Line ->
            [What, Count] = string:lexemes(Line, " \n"),
            loop(measure(What, list_to_integer(Count), Pid))
    end.

measure("restart", Count, Pid) ->
    {Last, Taken} = restarts(Count, Pid, []),
    io:format("[~s]~n", [lists:join(",", [io_lib:format("~.3f", [One]) || One <- Taken])]),
    Last;
measure("tell", Count, Pid) ->
    Begun = erlang:monotonic_time(nanosecond),
    [gen_server:cast(Pid, Number) || Number <- lists:seq(1, Count)],
    last = gen_server:call(Pid, last, infinity),
    io:format("~.1f~n", [Count * 1.0e9 / (erlang:monotonic_time(nanosecond) - Begun)]),
    Pid.

restarts(0, Pid, Taken) -> {Pid, Taken};
restarts(Count, Pid, Taken) ->
    Begun = erlang:monotonic_time(nanosecond),
    gen_server:cast(Pid, crash),
    Next = receive {up, New} -> New end,
    first = gen_server:call(Next, first),
    restarts(Count - 1, Next, [(erlang:monotonic_time(nanosecond) - Begun) / 1000 | Taken]).

%% Runs generated supervisor programs on real OTP and prints what happened, one line for each program.
%%
%% A program is one term on standard input: {Strategy, Intensity, AutoShutdown, Children, Steps}.
%%   Children: [{Id, Restart, Significant, FailingStarts}], FailingStarts = [Nth, ...] counted from 1.
%%   Steps: {exit, Id, normal | shutdown | crash} | {stop, Id} | {restart, Id} | {delete, Id} | {start, Child} | shutdown
%% A line of output is a list of words: +Id a start that worked, ?Id a start that failed, -Id an ordered stop,
%% !Id an end by itself, =word the answer to a request, / the end of a step, and at last `alive' with the ids that run,
%% or `down'.
-module(otp).
-behaviour(supervisor).
-export([main/0, init/1, start_child/2, child_init/3]).

-define(PERIOD_S, 1000000).
-define(WAIT_MS, 5000).

main() ->
    error_logger:tty(false),
    logger:set_primary_config(level, none),
    ets:new(starts, [named_table, public]),
    register(tracer, self()),
    process_flag(trap_exit, true),
    loop().

loop() ->
    case io:read("") of
        {ok, Program} -> run(Program), loop();
        eof -> ok
    end.

run({Strategy, Intensity, Auto, Children, Steps}) ->
    ets:delete_all_objects(starts),
    put(words, []),
    Flags = #{strategy => Strategy, intensity => Intensity, period => ?PERIOD_S, auto_shutdown => Auto},
    case supervisor:start_link(?MODULE, {Flags, [spec(C) || C <- Children]}) of
        {ok, Sup} ->
            drain(), say("/"),
            steps(Sup, Steps),
            finish(Sup);
        {error, _} ->
            receive {'EXIT', _, _} -> ok after ?WAIT_MS -> exit(stuck) end,
            drain(), say("/"), say("down")
    end,
    io:format("~s~n", [lists:join(" ", lists:reverse(get(words)))]).

init(Arg) -> {ok, Arg}.

spec({Id, Restart, Significant, Failing}) ->
    #{id => Id, start => {?MODULE, start_child, [Id, Failing]}, restart => Restart,
      significant => Significant, shutdown => 5000, type => worker}.

start_child(Id, Failing) ->
    Nth = ets:update_counter(starts, Id, 1, {Id, 0}),
    proc_lib:start_link(?MODULE, child_init, [Id, lists:member(Nth, Failing), self()]).

child_init(Id, true, Parent) ->
    tracer ! {trace, "?", Id},
    proc_lib:init_ack(Parent, {error, refused}),
    exit(normal);
child_init(Id, false, Parent) ->
    process_flag(trap_exit, true),
    tracer ! {trace, "+", Id},
    proc_lib:init_ack(Parent, {ok, self()}),
    receive
        {'EXIT', Parent, Reason} -> tracer ! {trace, "-", Id}, exit(Reason);
        {die, Reason} -> tracer ! {trace, "!", Id}, exit(Reason)
    end.

steps(_, []) -> ok;
steps(Sup, [Step | Rest]) ->
    case is_process_alive(Sup) of
        true -> step(Sup, Step), settle(Sup), drain(), say("/"), steps(Sup, Rest);
        false -> ok
    end.

step(Sup, {exit, Id, Reason}) ->
    case pid_of(Sup, Id) of
        Pid when is_pid(Pid) ->
            Ref = monitor(process, Pid),
            Pid ! {die, Reason},
            receive {'DOWN', Ref, _, _, _} -> ok after ?WAIT_MS -> exit(stuck) end;
        _ -> say("=no")
    end;
step(Sup, {stop, Id}) -> answer(catch supervisor:terminate_child(Sup, Id));
step(Sup, {restart, Id}) -> answer(catch supervisor:restart_child(Sup, Id));
step(Sup, {delete, Id}) -> answer(catch supervisor:delete_child(Sup, Id));
step(Sup, {start, Child}) -> answer(catch supervisor:start_child(Sup, spec(Child)));
step(Sup, shutdown) -> exit(Sup, shutdown), ok.

answer(Result) ->
    drain(),
    case Result of
        ok -> say("=ok");
        {ok, _} -> say("=ok");
        {error, {already_started, _}} -> say("=already_started");
        {error, Word} when is_atom(Word), Word =/= refused -> say("=" ++ atom_to_list(Word));
        {error, _} -> say("=start_failed");
        {'EXIT', _} -> say("=gone")
    end.

%% Until the supervisor is dead or has nothing left to do: a cast "try again" is always behind our call.
settle(Sup) -> settle(Sup, none, 0).

settle(_, _, 1000) -> exit(stuck);
settle(Sup, Before, N) ->
    case catch supervisor:which_children(Sup) of
        {'EXIT', _} ->
            receive {'EXIT', Sup, _} -> ok after ?WAIT_MS -> exit(stuck) end;
        Now ->
            Busy = [I || {I, restarting, _, _} <- Now] =/= []
                orelse [I || {I, P, _, _} <- Now, is_pid(P), not is_process_alive(P)] =/= [],
            case {Busy, Now} of
                {false, Before} -> ok;
                _ -> erlang:yield(), settle(Sup, Now, N + 1)
            end
    end.

finish(Sup) ->
    case is_process_alive(Sup) of
        false -> say("down");
        true ->
            Ids = lists:reverse([I || {I, P, _, _} <- supervisor:which_children(Sup), is_pid(P)]),
            say("alive"), [say(atom_to_list(I)) || I <- Ids],
            unlink(Sup), Ref = monitor(process, Sup), exit(Sup, shutdown),
            receive {'DOWN', Ref, _, _, _} -> ok after ?WAIT_MS -> exit(stuck) end,
            forget()
    end.

pid_of(Sup, Id) ->
    case lists:keyfind(Id, 1, supervisor:which_children(Sup)) of
        {_, Pid, _, _} -> Pid;
        false -> none
    end.

drain() ->
    receive
        {trace, Mark, Id} -> say(Mark ++ atom_to_list(Id)), drain();
        {'EXIT', _, _} -> drain()
    after 0 -> ok
    end.

forget() -> receive {trace, _, _} -> forget() after 0 -> ok end.

say(Word) -> put(words, [Word | get(words)]).

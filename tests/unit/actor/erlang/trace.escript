#!/usr/bin/env escript
%% Plays scenarios with real OTP supervisors and writes what happened, in order.
%%
%% Usage: trace.escript SCENARIOS, a file of terms {Name, Tree, Events}:
%%   Tree   {sup, Id, Restart, Strategy, Intensity, PeriodS, [Tree]}
%%        | {worker, Id, Restart, [NumberOfAStartThatFails]}
%%   Event  {exits, [{Id, normal | error | killed}]}   one after another, while nobody looks
%%        | {sleep, Ms} | {stop_child, SupId, Id} | stop_all
%% Output: one line of JSON per scenario, [Name, [[What, Id], ...]].
-mode(compile).
-export([init/1]).

main([File]) ->
    logger:set_primary_config(level, none),
    {ok, Scenarios} = file:consult(File),
    lists:foreach(fun play/1, Scenarios).

play({Name, Tree, Events}) ->
    process_flag(trap_exit, true),
    Table = ets:new(counts, [public]),
    Log = spawn_link(fun() -> log([]) end),
    persistent_term:put(log, Log),
    persistent_term:put(table, Table),
    case start(Tree) of
        {ok, Root} ->
            Ref = monitor(process, Root),
            lists:foreach(fun(Event) -> event(Event, Root), settle() end, Events),
            receive {'DOWN', Ref, process, Root, _} -> note(gave_up, element(2, Tree))
            after 0 -> demonitor(Ref, [flush])
            end;
        {error, _} ->
            Root = none,
            note(gave_up, element(2, Tree))
    end,
    Log ! {read, self()},
    receive {trace, Trace} -> ok end,
    [exit(Root, kill) || is_pid(Root)],
    Cells = [io_lib:format("[\"~s\", \"~s\"]", [What, Id]) || {What, Id} <- Trace],
    io:format("[\"~s\", [~s]]~n", [Name, lists:join(", ", Cells)]),
    settle().

%% Long enough for a supervisor to have done what it does.
settle() -> timer:sleep(30).

log(Done) ->
    receive
        {note, From, Entry} -> From ! {noted, self()}, log([Entry | Done]);
        {read, From} -> From ! {trace, lists:reverse(Done)}, forget()
    end.

%% What happens while the scenario is cleared away is not part of it.
forget() -> receive {note, From, _} -> From ! {noted, self()}, forget() end.

note(What, Id) ->
    Log = persistent_term:get(log),
    Log ! {note, self(), {What, Id}},
    receive {noted, Log} -> ok end.

event(stop_all, Root) ->
    note(stop_asked, root),
    exit(Root, shutdown);
event({sleep, Ms}, _) -> timer:sleep(Ms);
event({stop_child, Sup, Id}, _) ->
    note(stop_asked, Id),
    ok = supervisor:terminate_child(pid(Sup), Id),
    supervisor:delete_child(pid(Sup), Id);
event({exits, Exits}, _) ->
    Supervisors = [Pid || {{pid, _}, Pid, sup} <- ets:tab2list(persistent_term:get(table)),
                          is_process_alive(Pid)],
    lists:foreach(fun erlang:suspend_process/1, Supervisors),
    lists:foreach(fun die/1, Exits),
    lists:foreach(fun erlang:resume_process/1, Supervisors).

die({Id, Reason}) ->
    Pid = pid(Id),
    Ref = monitor(process, Pid),
    note(exit, Id),
    case Reason of
        killed -> exit(Pid, kill);
        _ -> Pid ! {die, Reason}
    end,
    receive {'DOWN', Ref, process, Pid, _} -> ok end,
    timer:sleep(2).

pid(Id) -> ets:lookup_element(persistent_term:get(table), {pid, Id}, 2).

%% --- the tree

start({sup, Id, _, Strategy, Intensity, Period, Children}) ->
    supervisor:start_link(?MODULE, {Id, Strategy, Intensity, Period, Children});
start({worker, Id, _, Fails}) ->
    proc_lib:start_link(erlang, apply, [fun worker/3, [self(), Id, Fails]]).

init({Id, Strategy, Intensity, Period, Children}) ->
    ets:insert(persistent_term:get(table), {{pid, Id}, self(), sup}),
    note(start, Id),
    Flags = #{strategy => Strategy, intensity => Intensity, period => Period},
    {ok, {Flags, [spec(Child) || Child <- Children]}}.

spec({sup, Id, Restart, _, _, _, _} = Tree) ->
    #{id => Id, start => {erlang, apply, [fun start/1, [Tree]]}, restart => Restart,
      shutdown => infinity, type => supervisor};
spec({worker, Id, Restart, _} = Tree) ->
    #{id => Id, start => {erlang, apply, [fun start/1, [Tree]]}, restart => Restart,
      shutdown => 1000}.

worker(Parent, Id, Fails) ->
    process_flag(trap_exit, true),
    Table = persistent_term:get(table),
    Number = ets:update_counter(Table, {starts, Id}, 1, {{starts, Id}, 0}),
    case lists:member(Number, Fails) of
        true ->
            note(start_failed, Id),
            proc_lib:init_ack(Parent, {error, refused});
        false ->
            ets:insert(Table, {{pid, Id}, self(), worker}),
            note(start, Id),
            proc_lib:init_ack(Parent, {ok, self()}),
            wait(Parent, Id)
    end.

wait(Parent, Id) ->
    receive
        {die, normal} -> ok;
        {die, error} -> exit(crashed);
        {'EXIT', Parent, Reason} -> note(stop, Id), exit(Reason)
    end.

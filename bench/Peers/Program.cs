using CudaLora.Kernels.Simd;
using CudaLora.Peers;
using TorchSharp;

var groups = new Dictionary<string, Action<Contest>>
{
    ["gemm"] = GemmPeer.Run,
    ["linear"] = LinearPeer.Run,
    ["op"] = OpPeer.Run,
    ["optimizer"] = OptimizerPeer.Run,
    ["step"] = StepPeer.Run,
    ["generate"] = GeneratePeer.Run,
    ["ppo"] = PpoPeer.Run,
    ["load"] = LoadPeer.Run,
    ["onnx"] = OnnxPeer.Run,
};
var (threads, repeats, clock, output) = (Environment.ProcessorCount, 7, "wall", (string?)null);
var only = groups.Keys.ToArray();
for (var i = 0; i < args.Length; i += 2)
{
    var value = i + 1 < args.Length ? args[i + 1] : "";
    switch (args[i])
    {
        case "--threads" when int.TryParse(value, out threads) && threads > 0:
        case "--repeats" when int.TryParse(value, out repeats) && repeats > 0:
            break;
        case "--clock" when value is "wall" or "cpu":
            clock = value;
            break;
        case "--output" when value.Length > 0:
            output = value;
            break;
        case "--only" when value.Split(',').All(groups.ContainsKey):
            only = value.Split(',');
            break;
        default:
            Console.Error.WriteLine(
                $"{args[i]} {value}: expected --threads N, --repeats N, --clock wall|cpu, --output DIR " +
                $"or --only with some of {string.Join(',', groups.Keys)}");
            return 2;
    }
}

Workers.Count = threads;
torch.set_num_threads(threads);
var contest = new Contest(repeats, cpuTime: clock == "cpu");
Console.WriteLine($"{threads} threads, {repeats} repeats, {clock} time; ours, peer, ratio = peer / ours (quartiles)");
foreach (var group in only)
{
    groups[group](contest);
    // After each group: a run that is stopped keeps what it has.
    if (output is not null)
        Report.Write(output, "bench/Peers/run.sh " + string.Join(' ', args), clock, repeats, contest.Outcomes);
}
return 0;

using System.Globalization;
using System.Text.Json.Nodes;
using CudaLora.Engine;
using CudaLora.Kernels.Emulator;

namespace CudaLora.Cli;

/// <summary>
/// The life of one LoRA layer on the device: every launch of forward and backward with its bytes and flops, as the
/// emulator counts them, for each strategy. The library's products run as the project's own PTX, to be counted.
/// </summary>
internal sealed class KernelExperiment() : LabExperiment(
    "kernel", "Launches, bytes and flops of one LoRA layer: composed, block matrix and fused",
    "y = x W0ᵀ + s (x Aᵀ) Bᵀ on the emulated device, every launch counted. Composed: one product after the other. "
    + "Block matrix: [x | S] times [W0 | s B] as one product. Fused: the adapter's product is summed in the registers "
    + "of the base's, by wgmma (sm_90a) or by mma.sync (sm_80 and up).")
{
    private const int Rank = 8;

    private static readonly LoraStrategy[] Strategies =
        [LoraStrategy.Composed, LoraStrategy.BlockMatrix, LoraStrategy.Fused, LoraStrategy.FusedMma];

    public override LabReport Run(LabOptions options)
    {
        var (tokens, width) = options.Quick ? (128, 256) : (256, 512);
        var way = Strategies.ToDictionary(strategy => strategy, strategy =>
        {
            options.Note($"kernel: {strategy}, {tokens} tokens, {width} x {width}, r {Rank}");
            return Measure(strategy, tokens, width);
        });
        double leastFlops = 2.0 * tokens * width * (width + (2 * Rank));
        // x, W0 and y in BF16; A and B in F32.
        double leastBytes = (2.0 * ((2 * tokens * width) + (width * width))) + (4.0 * 2 * Rank * width);
        var numbers = new JsonObject
        {
            ["tokens"] = tokens,
            ["width"] = width,
            ["rank"] = Rank,
            ["least_forward_flops"] = leastFlops,
            ["least_forward_bytes"] = leastBytes,
            ["strategies"] = new JsonObject(way.Select(pair => KeyValuePair.Create(
                pair.Key.ToString(), (JsonNode?)new JsonObject
                {
                    ["forward"] = pair.Value.Forward.ToJson(),
                    ["backward"] = pair.Value.Backward.ToJson(),
                    ["largest_difference_from_composed"] = Difference(pair.Value.Y, way[LoraStrategy.Composed].Y),
                }))),
        };
        string[] names = [.. Strategies.Select(Label)];
        Life[] forward = [.. way.Values.Select(w => w.Forward)], backward = [.. way.Values.Select(w => w.Backward)];
        return new LabReport(
            Name, "The life of one LoRA layer", numbers,
            [
                Table($"Forward, {tokens} tokens, {width} x {width}, r {Rank} "
                    + $"(least: {Figures.Count(leastBytes)} bytes, {Figures.Count(leastFlops)} flops)", names, forward),
                Table("Backward (dx, dA, dB; the base is frozen)", names, backward),
                Launches(way),
            ],
            [
                Bars("kernel_bytes", "bytes of global memory that threads asked for", "MB", names, forward, backward,
                    life => life.Bytes / 1e6),
                Bars("kernel_flops", "floating-point operations", "million", names, forward, backward,
                    life => life.Flops / 1e6),
                Bars("kernel_launches", "launches", "launches", names, forward, backward, life => life.Kernels.Count),
            ],
            Explain(way, leastFlops, leastBytes));
    }

    private static string Label(LoraStrategy strategy) => strategy switch
    {
        LoraStrategy.BlockMatrix => "block matrix",
        LoraStrategy.Fused => "fused, wgmma",
        LoraStrategy.FusedMma => "fused, mma.sync",
        _ => "composed",
    };

    private static LabTable Table(string title, string[] names, Life[] lives) => new(
        title, ["strategy", "launches", "read", "written", "32-byte sectors", "flops", "on tensor cores"],
        [.. names.Zip(lives, (name, life) => new[]
        {
            name, life.Kernels.Count.ToString(CultureInfo.InvariantCulture), Figures.Count(life.Read),
            Figures.Count(life.Written), Figures.Count(life.Sectors), Figures.Count(life.Flops),
            Figures.Percent(life.TensorFlops / Math.Max(1.0, life.Flops)),
        })]);

    private static LabTable Launches(Dictionary<LoraStrategy, (Life Forward, Life Backward, float[] Y)> way) => new(
        "What is launched, in order", ["strategy and launches"],
        [.. way.SelectMany(pair => new string[][]
        {
            [Launches(pair.Key, "forward", pair.Value.Forward)], [Launches(pair.Key, "backward", pair.Value.Backward)],
        })]);

    private static string Launches(LoraStrategy strategy, string direction, Life life) =>
        $"{Label(strategy)} {direction}: {string.Join(", ", life.Kernels)}";

    private static LabPicture Bars(
        string name, string title, string axis, string[] names, Life[] forward, Life[] backward,
        Func<Life, double> value) => LabPlot.Bars(
            name, title, axis, names,
            [
                LabCurve.OfSteps("forward", [.. forward.Select(value)]),
                LabCurve.OfSteps("backward", [.. backward.Select(value)]),
            ]);

    private static string[] Explain(
        Dictionary<LoraStrategy, (Life Forward, Life Backward, float[] Y)> way, double leastFlops, double leastBytes)
    {
        var (composed, block, fused) = (
            way[LoraStrategy.Composed].Forward, way[LoraStrategy.BlockMatrix].Forward,
            way[LoraStrategy.FusedMma].Forward);
        var (least, fewest) = way.MinBy(pair => pair.Value.Forward.Bytes);
        return
        [
            $"Composed takes {composed.Kernels.Count} launches forward and asks for {Figures.Count(composed.Bytes)} "
                + "bytes: the adapter's product writes y, and the base's reads and writes it again.",
            $"The block matrix joins both into one product, at the price of copies of x and W0 and of padding: "
                + $"{block.Kernels.Count} launches, {Figures.Count(block.Bytes)} bytes and "
                + $"{Figures.Short(block.Flops / leastFlops)} times the flops that are needed; fused by mma.sync sums "
                + $"both in the same registers: {fused.Kernels.Count} launches, {Figures.Count(fused.Bytes)} bytes, "
                + $"{Figures.Short(fused.Flops / leastFlops)} times the flops.",
            $"The way that asks for the fewest bytes at this shape is {Label(least)}: "
                + $"{Figures.Short(fewest.Forward.Bytes / leastBytes)} "
                + "times those of x, W0, A, B and y once each, as tiles read them again; wgmma's larger tiles do "
                + $"{Figures.Short(way[LoraStrategy.Fused].Forward.Flops / leastFlops)} times the flops here. "
                + "All strategies give the same y but for rounding.",
        ];
    }

    private static double Difference(float[] y, float[] other) => y.Zip(other, (a, b) => Math.Abs((double)a - b)).Max();

    private static (Life Forward, Life Backward, float[] Y) Measure(LoraStrategy strategy, int tokens, int width)
    {
        var launches = new List<LaunchReport>();
        var driver = new EmulatedDriver(new EmulatorOptions { Checks = false, CountsProducts = true })
        {
            Launched = launches.Add,
        };
        using var device = new CudaDevice(
            driver, new CudaDeviceOptions { LoraStrategy = strategy, LoraChoicesFile = null }, ownsDriver: true);
        using var scope = TensorScope.Begin();
        var x = Leaf(device, DType.BF16, true, 1, 1, tokens, width);
        var weight = Leaf(device, DType.BF16, false, 2, 1 / Math.Sqrt(width), width, width);
        var a = Leaf(device, DType.F32, true, 3, 1 / Math.Sqrt(width), Rank, width);
        var b = Leaf(device, DType.F32, true, 4, 1 / Math.Sqrt(Rank), width, Rank);
        var dy = Leaf(device, DType.BF16, false, 5, 1, tokens, width);
        launches.Clear();
        var y = x.LoraLinear(weight, null, a, b, 2);
        device.Synchronize();
        var forward = new Life(launches);
        launches.Clear();
        y.Backward(dy);
        device.Synchronize();
        var backward = new Life(launches);
        var values = new float[tokens * width];
        y.CopyTo(values.AsSpan());
        return (forward, backward, values);
    }

    private static Tensor Leaf(
        Device device, DType dtype, bool trained, int seed, double scale, int rows, int columns)
    {
        var leaf = Tensor.Empty(Shape.Of(rows, columns), dtype, device);
        float[] values = [.. LabMatrix.Random(rows, columns, seed).Values.Select(v => (float)(v * scale))];
        if (dtype == DType.BF16)
            leaf.CopyFrom(Array.ConvertAll(values, v => (ushort)(BitConverter.SingleToUInt32Bits(v) >> 16)));
        else
            leaf.CopyFrom(values);
        leaf.RequiresGrad = trained;
        return leaf;
    }

    /// <summary>The sum of some launches.</summary>
    private sealed class Life(IReadOnlyList<LaunchReport> launches)
    {
        public IReadOnlyList<string> Kernels { get; } = [.. launches.Select(launch => launch.Kernel)];

        public long Read { get; } = launches.Sum(launch => launch.Counters.GlobalReadBytes);

        public long Written { get; } = launches.Sum(launch => launch.Counters.GlobalWriteBytes);

        public long Sectors { get; } = launches.Sum(launch => launch.Counters.GlobalSectors);

        public long TensorFlops { get; } = launches.Sum(launch => launch.Counters.TensorFlops);

        public long Flops { get; } = launches.Sum(
            launch => launch.Counters.TensorFlops + launch.Counters.ScalarFlops);

        public long Bytes => Read + Written;

        public JsonObject ToJson() => new()
        {
            ["launches"] = new JsonArray([.. Kernels.Select(kernel => JsonValue.Create(kernel))]),
            ["read_bytes"] = Read,
            ["written_bytes"] = Written,
            ["sectors"] = Sectors,
            ["flops"] = Flops,
            ["tensor_flops"] = TensorFlops,
        };
    }
}

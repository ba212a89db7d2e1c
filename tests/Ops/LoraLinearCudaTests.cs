using CudaLora.Engine;
using CudaLora.Kernels.Emulator;

namespace CudaLora.Tests.Ops;

/// <summary>
/// The LoRA layer on CUDA devices against the CPU's body in F32 on the same values: F32, and BF16 by every strategy, on
/// shapes that all kernels read in whole units and on odd ones.
/// </summary>
public class LoraLinearCudaTests
{
    public static TheoryData<int, int, int, int, float, bool> F32Cases() => new()
    {
        { 6, 5, 6, 2, 0, true },
        { 33, 300, 20, 4, 0.4f, false },
        { 70, 64, 48, 16, 0, true },
        { 20, 40, 24, 64, 0.25f, true },
    };

    [Theory]
    [MemberData(nameof(F32Cases))]
    public void F32_MatchesTheCpu(int rows, int inputs, int outputs, int rank, float dropout, bool trainBase)
    {
        var problem = new Problem(rows, inputs, outputs, rank, dropout, trainBase, WithBias: true, Bf16Base: false);
        var expected = problem.Run("cpu", DType.F32);
        foreach (var device in Devices)
        {
            // The same sums in another order: a few units in the last place of values below 100.
            AssertClose(expected, problem.Run(device, DType.F32), 1e-5);
        }
    }

    public static TheoryData<LoraStrategy, int, int, int, int, float, bool, bool> Bf16Cases()
    {
        var data = new TheoryData<LoraStrategy, int, int, int, int, float, bool, bool>();
        foreach (var strategy in Enum.GetValues<LoraStrategy>().Where(strategy => strategy != LoraStrategy.Auto))
        {
            data.Add(strategy, 40, 64, 72, 4, 0, false, true);
            data.Add(strategy, 40, 64, 72, 8, 0, true, true);
            data.Add(strategy, 130, 136, 264, 16, 0, false, true);
            data.Add(strategy, 130, 136, 264, 16, 0.3f, false, false);
            data.Add(strategy, 20, 64, 40, 64, 0, true, false);
            data.Add(strategy, 20, 64, 40, 72, 0, false, true);
            data.Add(strategy, 7, 27, 13, 5, 0, true, true);
            data.Add(strategy, 7, 27, 13, 5, 0.3f, false, false);
        }
        return data;
    }

    [Theory]
    [MemberData(nameof(Bf16Cases))]
    public void Bf16_MatchesTheCpuByEveryStrategy(
        LoraStrategy strategy, int rows, int inputs, int outputs, int rank, float dropout, bool withBias, bool bf16Base)
    {
        var problem = new Problem(rows, inputs, outputs, rank, dropout, TrainBase: false, withBias, bf16Base);
        var expected = problem.Run("cpu", DType.F32);
        foreach (var device in Devices)
        {
            // Activations, S and dS keep 8 bits, A and B are rounded to 8 for the products: each adds up to 2^-9 of the
            // largest terms; a result is the sum of a few such roundings.
            AssertClose(expected, problem.Run(device, DType.BF16, strategy), 1.0 / 64);
        }
    }

    // Biases are F32 in models; a caller may have one that is not.
    [Theory, OnCudaDevices]
    public void ABiasInBf16_IsAddedByEveryStrategy(string device)
    {
        using var scope = OpCheck.On(device);
        Tensor x = OpCheck.Bf16Leaf(1, 40, 64), w = OpCheck.Bf16Leaf(2, 72, 64), bias = OpCheck.Bf16Leaf(3, 72);
        Tensor a = OpCheck.Leaf(4, 8, 64), b = OpCheck.Leaf(5, 72, 8);
        var wide = Tensor.From(bias.ToArray(), bias.Shape);
        foreach (var strategy in Enum.GetValues<LoraStrategy>())
        {
            ((CudaDevice)Device.Default).LoraStrategy = strategy;
            try
            {
                var expected = x.LoraLinear(w, wide, a, b, 1).ToArray();
                var actual = x.LoraLinear(w, bias, a, b, 1).ToArray();
                // The same bias; rounded once or twice more.
                var most = expected.Max(Math.Abs) / 128;
                Assert.All(expected.Zip(actual), pair => Assert.Equal(pair.First, pair.Second, most));
            }
            finally
            {
                ((CudaDevice)Device.Default).LoraStrategy = LoraStrategy.Auto;
            }
        }
    }

    [Fact]
    public void StrategiesAgreeMoreCloselyThanTheyRound()
    {
        var problem = new Problem(130, 136, 264, 16, 0, TrainBase: false, WithBias: true, Bf16Base: true);
        foreach (var device in Devices)
        {
            var composed = problem.Run(device, DType.BF16, LoraStrategy.Composed);
            foreach (var other in new[] { LoraStrategy.BlockMatrix, LoraStrategy.Fused, LoraStrategy.FusedMma })
            {
                var result = problem.Run(device, DType.BF16, other);
                // Composed rounds y to BF16 two or three times, the others once: a few units of 2^-8.
                AssertClose(composed, result, 1.0 / 128);
                // What is not a large product is the same work.
                Assert.Equal(composed["a"], result["a"]);
                Assert.Equal(composed["b"], result["b"]);
            }
        }
    }

    [Fact]
    public void SameInputs_SameBits()
    {
        var problem = new Problem(40, 64, 72, 8, 0.2f, TrainBase: true, WithBias: true, Bf16Base: false);
        foreach (var device in Devices)
        {
            foreach (var strategy in new[] { LoraStrategy.Composed, LoraStrategy.Fused })
                Assert.Equal(problem.Run(device, DType.BF16, strategy), problem.Run(device, DType.BF16, strategy));
        }
    }

    [Fact]
    public void OnTheEmulatorAutoIsComposedAndTimesNothing()
    {
        var problem = new Problem(40, 64, 72, 8, 0, TrainBase: false, WithBias: false, Bf16Base: true);
        Assert.Equal(
            problem.Run("emulator", DType.BF16, LoraStrategy.Composed),
            problem.Run("emulator", DType.BF16, LoraStrategy.Auto));
        using var scope = OpCheck.On("emulator");
        var known = ((CudaDevice)Device.Default).LoraChoices.Known;
        Assert.Equal(LoraStrategy.Composed, known["forward (40, 72, 64) r 8"]);
        Assert.Equal(LoraStrategy.Composed, known["backward (40, 64, 72) r 8"]);
    }

    /// <summary>
    /// Where time counts, every strategy is tried on the layer's own inputs, the results are unharmed, and a later
    /// process takes the choices from the file.
    /// </summary>
    [Fact]
    public void AutoTimesEveryStrategyOnceAndKeepsTheChoice()
    {
        using var folder = new TemporaryFolder();
        var file = folder.File("lora.tsv");
        var problem = new Problem(24, 64, 40, 8, 0, TrainBase: false, WithBias: true, Bf16Base: true);
        var expected = problem.Run("cpu", DType.F32);
        Dictionary<string, float[]> first;
        List<string> launched = [];
        using (var device = Timing(launched))
        {
            first = problem.RunOn(device, DType.BF16);
            AssertClose(expected, first, 1.0 / 64);
            Assert.Contains("lora_pad_bf16", launched); // the block matrix
            foreach (var fused in new[] { "gemm_mma_nt", "gemm_mma_nn", "lora_wgmma_forward", "lora_wgmma_backward" })
                Assert.Contains(fused, launched);
            // Four ways of two products, six times each: most launches were trials.
            Assert.True(launched.Count > 60, $"{launched.Count} launches");
            launched.Clear();
            // Known by now: the same bits, and nothing is tried again.
            Assert.Equal(first, problem.RunOn(device, DType.BF16));
            Assert.InRange(launched.Count, 1, 20);
        }
        Assert.Equal(2, File.ReadAllLines(file).Length);
        launched.Clear();
        using (var device = Timing(launched))
        {
            Assert.Equal(first, problem.RunOn(device, DType.BF16));
            Assert.InRange(launched.Count, 1, 20);
        }

        CudaDevice Timing(List<string> names) => new(
            new EmulatedDriver(new EmulatorOptions { Workers = 1, KeepsTime = true })
            {
                Launched = report => names.Add(report.Kernel),
            },
            new CudaDeviceOptions { LoraChoicesFile = file }, ownsDriver: true);
    }

    [Fact]
    public void FewTokensWithoutGradients_GiveTheSame()
    {
        foreach (var device in Devices)
        {
            using var scope = OpCheck.On(device);
            var (x, w, bias) = (OpCheck.Bf16Leaf(1, 5, 72), OpCheck.Bf16Leaf(2, 20, 72), OpCheck.Leaf(3, 20));
            var (a, b) = (OpCheck.Leaf(4, 3, 72), OpCheck.Leaf(5, 20, 3));
            var expected = x.LoraLinear(w, bias, a, b, 0.5f).ToArray();
            using var mode = GradMode.NoGrad();
            var few = x.LoraLinear(w, bias, a, b, 0.5f).ToArray();
            // The decoding kernels round nothing but the result.
            var scale = expected.Max(Math.Abs);
            for (var i = 0; i < few.Length; i++)
                Assert.Equal(expected[i], few[i], scale / 64);
        }
    }

    private static IEnumerable<string> Devices => TestDevice.Names.Where(name => name != "cpu");

    private static void AssertClose(
        Dictionary<string, float[]> expected, Dictionary<string, float[]> actual, double tolerance)
    {
        Assert.Equal(expected.Keys.Order(), actual.Keys.Order());
        foreach (var (name, values) in expected)
        {
            var scale = 1e-3 + values.Max(Math.Abs);
            var worst = values.Zip(actual[name]).Max(pair => Math.Abs(pair.First - pair.Second));
            Assert.True(worst <= tolerance * scale, $"{name}: {worst} of {scale}, allowed {tolerance}");
        }
    }

    /// <summary>One layer with its inputs: y and all gradients, on any device, by any strategy.</summary>
    private sealed record Problem(
        int Rows, int Inputs, int Outputs, int Rank, float Dropout, bool TrainBase, bool WithBias, bool Bf16Base)
    {
        public Dictionary<string, float[]> Run(
            string device, DType activations, LoraStrategy strategy = LoraStrategy.Auto)
        {
            using var guard = OpCheck.On(device);
            return RunOn(Device.Default, activations, strategy);
        }

        public Dictionary<string, float[]> RunOn(
            Device device, DType activations, LoraStrategy strategy = LoraStrategy.Auto)
        {
            var former = Device.Default;
            _ = Device.Use(device);
            using var scope = TensorScope.Begin();
            var cuda = device as CudaDevice;
            if (cuda is not null)
                cuda.LoraStrategy = strategy;
            try
            {
                var x = Leaf(1, activations, true, 1, Rows, Inputs);
                var w = Leaf(2, Bf16Base && cuda is not null ? DType.BF16 : DType.F32, TrainBase, 1, Outputs, Inputs);
                var bias = WithBias ? Leaf(3, DType.F32, TrainBase, 1, Outputs) : null;
                // S is of the size of x, as with the usual initialisation.
                var a = Leaf(4, DType.F32, true, 1 / MathF.Sqrt(Inputs), Rank, Inputs);
                var b = Leaf(5, DType.F32, true, 1 / MathF.Sqrt(Rank), Outputs, Rank);
                var dy = Leaf(6, activations, false, 1, Rows, Outputs);
                var y = x.LoraLinear(w, bias, a, b, 0.5f, new DropoutMask(Dropout, 11, 5));
                y.Backward(dy);
                Assert.Equal(activations, y.DType);
                Assert.Equal(TrainBase, w.Grad is not null);
                var results = new Dictionary<string, float[]>
                {
                    ["y"] = y.ToArray(),
                    ["x"] = x.Grad!.ToArray(),
                    ["a"] = a.Grad!.ToArray(),
                    ["b"] = b.Grad!.ToArray(),
                };
                if (TrainBase)
                    results.Add("w", w.Grad!.ToArray());
                if (TrainBase && bias is not null)
                    results.Add("bias", bias.Grad!.ToArray());
                return results;
            }
            finally
            {
                if (cuda is not null)
                    cuda.LoraStrategy = LoraStrategy.Auto;
                _ = Device.Use(former);
            }
        }

        // Values that BF16 holds exactly for what may be stored in it, so that every device sees the same.
        private static Tensor Leaf(int seed, DType dtype, bool trained, float scale, params ReadOnlySpan<int> dims)
        {
            var values = Array.ConvertAll(
                GradientCheck.Values(seed, Shape.Of(dims)), value => OpCheck.ToBf16(value * scale));
            var leaf = Tensor.Zeros(Shape.Of(dims), dtype);
            if (dtype == DType.BF16)
                leaf.CopyFrom(Array.ConvertAll(values, v => (ushort)(BitConverter.SingleToUInt32Bits(v) >> 16)));
            else
                leaf.CopyFrom(values);
            leaf.RequiresGrad = trained;
            return leaf;
        }
    }
}

using System.Text.Json;
using CudaLora.Engine;
using CudaLora.Tests.Ops;

namespace CudaLora.Tests.Engine;

public class OptimizerTests
{
    private static Parameter Leaf(string name, ReadOnlySpan<float> values, ReadOnlySpan<float> gradient = default)
    {
        var value = Tensor.From(values, Shape.Of(values.Length));
        var p = new Parameter(new ParameterPath(name), value) { Trainable = true };
        if (!gradient.IsEmpty)
            SetGrad(p, gradient);
        return p;
    }

    // d(sum(p g)) / dp = g.
    private static void SetGrad(Parameter p, ReadOnlySpan<float> gradient)
    {
        using var scope = TensorScope.Begin();
        p.Value.ZeroGrad();
        p.Value.Mul(Tensor.From(gradient, p.Value.Shape)).Sum().Backward();
    }

    private static string Golden(string file) => Path.Combine(SharedData.Root, "tests", "Golden", "ops", file);

    private static float[] Read(SafetensorsFile file, string name)
    {
        var entry = file.Entry(name);
        var values = new float[entry.Shape.Aggregate(1L, (n, d) => n * d)];
        file.CopyToF32(entry, values.AsSpan());
        return values;
    }

    private static JsonElement Numbers(string name)
    {
        using var json = JsonDocument.Parse(File.ReadAllText(Golden("ops.json")));
        return json.RootElement.GetProperty(name).Clone();
    }

    [Theory, OnDevices]
    public void TenSteps_MatchPyTorch(string device)
    {
        using var scope = OpCheck.On(device);
        using var file = SafetensorsFile.Open(Golden("ops.safetensors"));
        var numbers = Numbers("adamw");
        float[] start = Read(file, "adamw.p"), gradients = Read(file, "adamw.g"), after = Read(file, "adamw.y");
        var p = Leaf("p", start);
        double Number(string name) => numbers.GetProperty(name).GetDouble();
        using var optimizer = new AdamW(
            [new ParameterGroup([p], Number("lr"), Number("weight_decay"))],
            numbers.GetProperty("betas")[0].GetDouble(), numbers.GetProperty("betas")[1].GetDouble(),
            numbers.GetProperty("eps").GetDouble());
        for (var step = 0; step < 10; step++)
        {
            SetGrad(p, gradients.AsSpan(step * start.Length, start.Length));
            optimizer.Step();
            var now = p.Value.ToArray();
            for (var i = 0; i < start.Length; i++)
                Assert.Equal(after[step * start.Length + i], now[i], 1e-5f);
        }
    }

    [Theory, OnDevices]
    public void Clipping_MatchesPyTorch(string device)
    {
        using var scope = OpCheck.On(device);
        Clipping("clip_active");
        Clipping("clip_idle");
    }

    private static void Clipping(string name)
    {
        using var file = SafetensorsFile.Open(Golden("ops.safetensors"));
        var numbers = Numbers(name);
        float[] g0 = Read(file, name + ".g0"), g1 = Read(file, name + ".g1");
        var groups = new[]
        {
            new ParameterGroup([Leaf("a", new float[g0.Length], g0)], 1),
            new ParameterGroup([Leaf("b", new float[g1.Length], g1)], 1),
        };
        var norm = GradientClip.Norm(groups);
        var scale = GradientClip.Scale(norm, numbers.GetProperty("max_norm").GetDouble());
        Assert.Equal(numbers.GetProperty("norm").GetDouble(), norm, 1e-6);
        float[] clipped0 = Read(file, name + ".clipped0"), clipped1 = Read(file, name + ".clipped1");
        for (var i = 0; i < g0.Length; i++)
            Assert.Equal(clipped0[i], g0[i] * scale, 1e-6);
        for (var i = 0; i < g1.Length; i++)
            Assert.Equal(clipped1[i], g1[i] * scale, 1e-6);
    }

    [Fact]
    public void MaxNormZero_SwitchesClippingOff() => Assert.Equal(1, GradientClip.Scale(50, 0));

    [Theory, OnDevices]
    public void Groups_HaveTheirOwnRateAndDecay(string device)
    {
        using var scope = OpCheck.On(device);
        Parameter slow = Leaf("slow", [1f], [1f]), fast = Leaf("fast", [1f], [1f]), idle = Leaf("idle", [1f]);
        var frozen = Leaf("frozen", [1f]);
        frozen.Trainable = false;
        using var optimizer = new AdamW(
            [new ParameterGroup([slow, idle, frozen], 0.1), new ParameterGroup([fast], 0.2, 0.5)]);
        optimizer.Step(rateFactor: 0.5);
        // The first step of Adam moves by the learning rate.
        Assert.Equal(1 - 0.05f, slow.Value.Item(), 1e-6f);
        Assert.Equal(1 * (1 - 0.1f * 0.5f) - 0.1f, fast.Value.Item(), 1e-6f);
        Assert.Equal(1f, idle.Value.Item());
        Assert.Equal(1f, frozen.Value.Item());
        Assert.Equal(
            ["slow.exp_avg", "slow.exp_avg_sq", "idle.exp_avg", "idle.exp_avg_sq", "fast.exp_avg", "fast.exp_avg_sq"],
            optimizer.State().Select(s => s.Name));
    }

    [Theory, OnDevices]
    public void StateCarriedOver_ContinuesWithTheSameBits(string device)
    {
        using var scope = OpCheck.On(device);
        float[] start = [0.5f, -1f, 2f], g = [0.3f, -0.2f, 0.1f];
        Parameter whole = Leaf("p", start), first = Leaf("p", start);
        using var one = new AdamW([new ParameterGroup([whole], 0.01, 0.1)]);
        using var two = new AdamW([new ParameterGroup([first], 0.01, 0.1)]);
        for (var i = 0; i < 6; i++)
        {
            SetGrad(whole, g);
            one.Step();
            if (i >= 3)
                continue;
            SetGrad(first, g);
            two.Step();
        }
        var resumed = Leaf("p", first.Value.ToArray());
        using var three = new AdamW([new ParameterGroup([resumed], 0.01, 0.1)]) { StepCount = two.StepCount };
        foreach (var (to, from) in three.State().Zip(two.State()))
            to.Value.CopyFrom(from.Value);
        for (var i = 0; i < 3; i++)
        {
            SetGrad(resumed, g);
            three.Step();
        }
        Assert.Equal(whole.Value.ToArray(), resumed.Value.ToArray());
    }

    [Theory, OnDevices]
    public void AStepOnTheDevice_IsClipThenStep(string device)
    {
        using var scope = OpCheck.On(device);
        float[] g = [3f, -4f, 12f], start = [0.5f, -1f, 2f];
        foreach (var limit in new[] { 0, 1.5, 100 })
        {
            Parameter apart = Leaf("p", start, g), whole = Leaf("p", start, g), idle = Leaf("idle", [1f]);
            using var one = new AdamW([new ParameterGroup([apart], 0.01, 0.1)]);
            using var two = new AdamW([new ParameterGroup([idle], 1), new ParameterGroup([whole], 0.01, 0.1)]);
            for (var i = 0; i < 3; i++)
            {
                one.Step(0.5, GradientClip.Scale(GradientClip.Norm(one.Groups), limit));
                two.BeginStep(0.5);
                two.ClipAndStep(limit);
                var (norm, updated) = two.EndStep();
                Assert.Equal(13, norm, 1e-5);
                Assert.True(updated);
            }
            Assert.Equal(3, two.StepCount);
            // The factor of the gradient is rounded to F32 once more on one of the ways.
            for (var i = 0; i < g.Length; i++)
                Assert.Equal(apart.Value.ToArray()[i], whole.Value.ToArray()[i], 1e-6f);
            Assert.Equal(1f, idle.Value.Item());
        }
    }

    [Theory, OnDevices]
    public void ANormThatIsNotFinite_UpdatesNothing(string device)
    {
        using var scope = OpCheck.On(device);
        var p = Leaf("p", [1f, 2f], [float.PositiveInfinity, 1f]);
        using var optimizer = new AdamW([new ParameterGroup([p], 0.01, 0.1)]);
        optimizer.BeginStep(1);
        optimizer.ClipAndStep(1);
        var (norm, updated) = optimizer.EndStep();
        Assert.False(double.IsFinite(norm));
        Assert.False(updated);
        Assert.Equal(0, optimizer.StepCount);
        Assert.Equal([1f, 2f], p.Value.ToArray());
        Assert.All(optimizer.State(), state => Assert.All(state.Value.ToArray(), value => Assert.Equal(0f, value)));
    }

    [Fact]
    public void Mistakes_AreNamed()
    {
        using var scope = TensorScope.Begin();
        var p = Leaf("layer.weight", [1f]);
        var error = Assert.Throws<ArgumentException>(
            () => new AdamW([new ParameterGroup([p], 1), new ParameterGroup([p], 1)]));
        Assert.Equal("[adamw] a parameter must be in one group, but got layer.weight twice", error.Message);
        error = Assert.Throws<ArgumentException>(() => new AdamW([], beta1: 1.0));
        Assert.Equal("[adamw] betas must be in [0, 1), but got 1 and 0.999", error.Message);
        error = Assert.Throws<ArgumentException>(() => new ParameterGroup([p], -1));
        Assert.Equal("[optim] learning rate must not be negative, but got -1", error.Message);
    }
}

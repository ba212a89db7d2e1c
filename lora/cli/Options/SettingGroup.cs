namespace CudaLora.Cli;

/// <summary>Settings that help shows together.</summary>
internal sealed record SettingGroup(string Title, params Setting[] Settings);
